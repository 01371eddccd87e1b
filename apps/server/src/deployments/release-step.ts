/** Executor of the step that runs a release command, such as database migrations, before anything of a version starts. */
import { AppError } from '@coderunner/contract'
import { argvOf } from '../analysis/command-line.ts'
import { meaningfulLines } from '../builds/build-failure.ts'
import { withBuilder } from '../builds/builder-sandbox.ts'
import type { BuilderRooms } from './builder-rooms.ts'
import type { DeploymentWithProject } from './deployment-store.ts'
import { softwareOf } from './run-steps.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

export interface ReleaseStepDeps {
  rooms: BuilderRooms
  /** Variables of an instance: the command runs as one of them would. */
  environment(deployment: DeploymentWithProject): Promise<Record<string, string>>
}

export class ReleaseStep {
  readonly #deps: ReleaseStepDeps

  constructor(deps: ReleaseStepDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'release'> {
    return { release: run => this.#release(run) }
  }

  async #release(run: StepRun): Promise<'done'> {
    const { rooms } = this.#deps
    const { deployment } = run
    const cwd = deployment.detection?.workspace
    const command = deployment.detection?.release
    if (command === undefined || deployment.layers === null) throw new Error('There is no release to run a command of.')
    const env = await this.#deps.environment(deployment)
    const room = { layers: deployment.layers, software: softwareOf(deployment.detection), env: {} }
    await rooms.run(run, room, task =>
      withBuilder(task, async builder => {
        const failed = await builder.attempt({
          argv: argvOf(command),
          label: command,
          env,
          ...(cwd === undefined ? {} : { cwd }),
        })
        if (failed === undefined) return
        const head = `The release command “${command}” ended with code ${failed.exitCode}, so that the version does not start.`
        throw new AppError('build_failed', [head, ...meaningfulLines(failed.lines, 12)].join('\n'))
      }),
    )
    return 'done'
  }
}
