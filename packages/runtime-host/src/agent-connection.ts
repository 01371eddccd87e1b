/**
 * The way to a sandbox's agent: its unix socket, on a disk that the sandbox may write. What lies there is looked at
 * before it is connected to, by descriptor, so that nothing else can be put in its place between the two.
 */
import { watch } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { AgentClient } from '@coderunner/agent'
import { SandboxFailedError } from '@coderunner/runtime'
import { Pool } from 'undici'
import { ChangeSignal, waitForChange } from './change-signal.ts'
import { openSocketHandle } from './kernel/path-handle.ts'

export const AGENT_SOCKET = 'agent.sock'

/** Requests to one agent. Every program that runs holds a connection. */
export function agentDispatcher(directory: string): Pool {
  const path = join(directory, AGENT_SOCKET)
  return new Pool('http://agent', {
    connect: (_, answer) => {
      let socket: Socket
      try {
        using handle = openSocketHandle(path)
        // The path is looked up before connect() returns.
        socket = connect({ path: handle.path })
      } catch (error) {
        answer(error as Error, null)
        return
      }
      const failed = (error: Error): void => answer(error, null)
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        answer(null, socket)
      })
    },
  })
}

const START_TIMEOUT_MS = 30_000
const RETRY_MS = 20

/**
 * Resolves when the agent answers.
 * @param begin starts the agent, after the watch for its socket stands
 * @param isOver says that it will not come any more
 */
export async function awaitAgent(directory: string, begin: () => Promise<void>, isOver: () => boolean): Promise<void> {
  const changes = new ChangeSignal()
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS)
  const watcher = watch(directory, () => changes.notify())
  const dispatcher = agentDispatcher(directory)
  const agent = new AgentClient({ dispatcher, prefix: '' })
  try {
    let change = changes.next()
    await begin()
    for (;;) {
      // The socket is there a moment before it takes connections, which no event tells: asked again soon.
      await waitForChange(change, timeout, RETRY_MS)
      change = changes.next()
      if (
        await agent.ping().then(
          () => true,
          () => false,
        )
      )
        return
      if (isOver()) throw new SandboxFailedError('The sandbox’s agent ended while it was starting.')
      if (timeout.aborted) throw new SandboxFailedError('The sandbox’s agent did not start within 30 s.')
    }
  } finally {
    watcher.close()
    await dispatcher.destroy()
  }
}
