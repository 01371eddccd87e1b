/**
 * From the order to the first good answer: files over the API to the first 200 through the ingress, against
 * `node server.js` by hand, in alternation. The dependencies are installed before; no npm takes part on either side.
 */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { CodeRunner, repository } from '../test/coderunner.ts'
import { bareStart, firstGood, probe } from './bare-server.ts'
import { type BenchLine, benchLine, median } from './bench-line.ts'

const rounds = 9

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => relative(folder, join(entry.parentPath, entry.name)))
}

async function* contest(
  coderunner: CodeRunner,
  name: string,
  folder: string,
  files: string[],
): AsyncGenerator<BenchLine> {
  const project = `bench-${name}`
  const ours: number[] = []
  const bare: number[] = []
  const stages = new Map<string, number[]>()
  const { host } = new URL(await coderunner.deploy(folder, project))
  for (let round = 0; round < rounds; round++) {
    const mark = `round-${round}`
    const content = await Promise.all(
      files.map(async path => {
        const text = await readFile(join(folder, path), 'utf8')
        return { path, content: Buffer.from(path === 'server.js' ? `/* ${mark} */ ${text}` : text).toString('base64') }
      }),
    )
    const start = performance.now()
    const accepted = (await coderunner.api('POST', '/api/deploy', {
      project,
      files: content,
      env: { ROUND: mark },
    })) as { deploymentId: string; deploymentUrl: string }
    stages.set('accepted', [...(stages.get('accepted') ?? []), performance.now() - start])
    const own = new URL(accepted.deploymentUrl).host
    await firstGood(async () => (await probe(coderunner.appsPort, { host: own }))?.status === 200)
    ours.push(performance.now() - start)
    const baseline = await bareStart(folder)
    bare.push(baseline.ms)
    await baseline.end()
    // The steps are complete when the project's URL has moved.
    await firstGood(async () => {
      const { serving, steps } = (await coderunner.api('GET', `/api/deployments/${accepted.deploymentId}`)) as {
        serving: boolean
        steps: { name: string; durationMs?: number }[]
      }
      if (serving)
        for (const step of steps) stages.set(step.name, [...(stages.get(step.name) ?? []), step.durationMs ?? 0])
      return serving
    })
    await firstGood(async () => (await probe(coderunner.appsPort, { host }))?.status === 200)
  }
  yield benchLine(
    `deploy.${name}`,
    median(ours),
    median(bare),
    'ms',
    Object.fromEntries([...stages].map(([stage, values]) => [stage, median(values)])),
  )
}

export async function* bench(): AsyncGenerator<BenchLine> {
  await using coderunner = await CodeRunner.start()
  const express = await mkdtemp(join(tmpdir(), 'coderunner-bench-'))
  try {
    yield* contest(
      coderunner,
      'hello',
      join(repository, 'examples/node-hello'),
      await filesOf(join(repository, 'examples/node-hello')),
    )
    await cp(join(repository, 'examples/express-hello'), express, { recursive: true })
    await promisify(execFile)('npm', ['ci', '--silent'], { cwd: express })
    yield* contest(coderunner, 'express', express, await filesOf(join(repository, 'examples/express-hello')))
  } finally {
    await rm(express, { recursive: true, force: true })
  }
}
