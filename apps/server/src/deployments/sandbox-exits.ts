import type { Sandbox, SandboxExit } from '@coderunner/runtime'

/** Lets those who wait for a sandbox's end know of it; fed by the provider's events. */
export class SandboxExits {
  readonly #waiting = new Map<string, Set<(exit: SandboxExit) => void>>()

  note(sandboxId: string, exit: SandboxExit): void {
    for (const tell of this.#waiting.get(sandboxId) ?? []) tell(exit)
    this.#waiting.delete(sandboxId)
  }

  /** Also when it has ended already. Stays pending for good once the signal aborts. */
  of(sandbox: Sandbox, signal: AbortSignal): Promise<SandboxExit> {
    const { promise, resolve } = Promise.withResolvers<SandboxExit>()
    const waiting = this.#waiting.get(sandbox.id) ?? new Set()
    this.#waiting.set(sandbox.id, waiting.add(resolve))
    signal.addEventListener('abort', () => waiting.delete(resolve), { once: true })
    // Asked after registering, so that no end is missed. A sandbox that is gone tells nothing: its row will show it.
    sandbox.info().then(
      info => {
        if (info.exit !== undefined) resolve(info.exit)
      },
      () => resolve({ code: -1, outOfMemory: false }),
    )
    return promise
  }
}
