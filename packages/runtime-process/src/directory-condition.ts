import { watch } from 'node:fs'

/** Resolves when `holds` gives true; asked now, and again whenever something in the directory changes. */
export async function whenDirectory(directory: string, holds: () => Promise<boolean>): Promise<void> {
  let changed = Promise.withResolvers<void>()
  // Watch, then look, then wait: a change meanwhile is not missed.
  const watcher = watch(directory, () => changed.resolve())
  watcher.on('error', error => changed.reject(error))
  try {
    for (;;) {
      changed = Promise.withResolvers<void>()
      // Told where it is waited for.
      changed.promise.catch(() => undefined)
      if (await holds()) return
      await changed.promise
    }
  } finally {
    watcher.close()
  }
}
