import { ApiError } from '@coderunner/client'
import type { CommandContext } from '../command.ts'

const withinMs = 5000

/** Ends a deployment under way, also after Ctrl-C. One that has ended meanwhile is no error. */
export async function cancelDeployment(context: CommandContext, id: string): Promise<void> {
  const client = await context.client({ outliveInterrupt: true })
  try {
    await client.deployments.act(id, 'cancel', AbortSignal.timeout(withinMs))
  } catch (error) {
    // Already running, or already ended: there is nothing to cancel then.
    if (error instanceof ApiError && error.status === 409) return
    context.screen.warn(`the deployment could not be cancelled and goes on: ${(error as Error).message}`)
  }
}
