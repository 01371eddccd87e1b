import { NotSupportedError, type SandboxFiles } from '@coderunner/runtime'

/** Files of a sandbox whose main process is a command: there is no agent to handle them. */
export function refusedFiles(provider: string): SandboxFiles {
  const refuse = async (): Promise<never> => {
    throw new NotSupportedError('Handling files while the main process is a command', provider)
  }
  return {
    read: refuse,
    write: refuse,
    stat: refuse,
    list: refuse,
    makeDir: refuse,
    remove: refuse,
    rename: refuse,
    unpack: refuse,
    pack: refuse,
    watch: () => ({ [Symbol.asyncIterator]: () => ({ next: refuse }) }),
  }
}
