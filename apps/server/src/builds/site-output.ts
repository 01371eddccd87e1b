/** Reads what a build made back from its sandbox. Whoever built it may have put anything there: only a plain tree is taken. */
import { once } from 'node:events'
import { AppError } from '@coderunner/contract'
import { FileNotFoundError, type SandboxFiles } from '@coderunner/runtime'
import { extract, type Header } from 'tar-stream'
import { archiveLimits } from '../sources/archive-limits.ts'
import { isIgnored, normalPath, pathProblem, type SourceEntry, type SourceTree } from '../sources/source-tree.ts'
import type { StagedUpload } from '../sources/staged-upload.ts'

/**
 * Files and links below `folder`, contents staged in `upload`. Links are kept as they are: whoever follows them does so
 * within this tree, so that nothing outside the folder is ever reached.
 */
export async function readOutput(files: SandboxFiles, folder: string, upload: StagedUpload): Promise<SourceTree> {
  const tar = await files.pack(folder).catch(async (error: unknown) => {
    throw error instanceof FileNotFoundError ? await noOutput(files, folder) : error
  })
  const reading = extract()
  tar.on('error', error => reading.destroy(error))
  tar.pipe(reading)
  const entries = new Map<string, SourceEntry>()
  let bytes = 0
  try {
    for await (const entry of reading) {
      const { header } = entry
      const path = normalPath(header.name)
      // Of the whole project what was installed is no part of the site.
      if (wanted(path, header) && !(folder === '.' && isIgnored(path))) {
        const taken = await take(path, header, entry as unknown as AsyncIterable<Uint8Array>)
        if (taken !== undefined) entries.set(path, taken)
      }
      // Content that nobody wanted has to flow for the next entry to come.
      entry.resume()
      if (entries.size > archiveLimits.entries)
        throw new AppError('build_failed', `The build made more than ${archiveLimits.entries} files in ${folder}.`)
    }
  } finally {
    tar.unpipe(reading)
    tar.destroy()
    if (!tar.closed) await once(tar, 'close')
  }
  if (entries.size === 0) throw await noOutput(files, folder)
  return [...entries.values()]

  async function take(path: string, header: Header, content: AsyncIterable<Uint8Array>) {
    if (header.type === 'symlink') return { path, link: header.linkname ?? '' }
    if (header.type === 'link') {
      const same = entries.get(normalPath(header.linkname ?? ''))
      return same === undefined ? undefined : { ...same, path }
    }
    bytes += header.size ?? 0
    if (bytes > archiveLimits.unpackedBytes)
      throw new AppError('build_failed', `What the build made in ${folder} is too large.`)
    return { path, ...(await upload.add(content)), executable: false }
  }
}

function wanted(path: string, { type }: Header): boolean {
  return pathProblem(path) === undefined && (type === 'file' || type === 'symlink' || type === 'link')
}

async function noOutput(files: SandboxFiles, folder: string): Promise<AppError> {
  const entries = await files.list('.').catch(() => [])
  const names = entries.map(entry => (entry.type === 'directory' ? `${entry.name}/` : entry.name)).sort()
  return new AppError(
    'build_failed',
    `The build made nothing in ${folder}, where the site was expected. Found: ${names.slice(0, 40).join('  ')}`,
  )
}
