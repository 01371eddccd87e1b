import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findProgram, systemEnvironment } from '../kernel/system-programs.ts'
import { readCgroupMode } from './cgroup-mode.ts'
import { diagnoseHost } from './diagnose.ts'
import { dropsInLegacyTables, dropsInNftables } from './forward-rules.ts'
import { missingPackages } from './required-packages.ts'

test('this machine is diagnosed, and every fault names its remedy', async context => {
  const before = readFileSync('/proc/self/mountinfo', 'utf8')
  const diagnoses = await diagnoseHost()
  for (const { name, ok, detail, fix } of diagnoses) {
    context.diagnostic(`${ok ? 'ok' : 'NOT OK'} ${name}: ${detail}${fix === undefined ? '' : ` -> ${fix}`}`)
    assert.equal(fix !== undefined, !ok, name)
  }
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), before)
  const missing = await missingPackages()
  assert.equal(diagnoses.find(({ name }) => name === 'programs')?.ok, missing.length === 0)
})

test('programs are looked for in the directories of the system', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cr-diagnose-'))
  try {
    symlinkSync('/bin/true', join(directory, 'mkfs.none'))
    assert.equal(await findProgram('mkfs.none'), undefined)
    assert.equal(await findProgram('mkfs.none', `/nowhere:${directory}`), join(directory, 'mkfs.none'))
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('the three ways of mounting control groups are told apart', () => {
  const unified = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate'
  const memory = '35 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory'
  const cpu = '36 24 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct'
  const beside = '37 24 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw'
  const v2 = readCgroupMode(unified, 'cpuset cpu io memory pids\n')
  assert.equal(v2.mode, 'v2')
  assert.ok(v2.controllers.has('pids'))
  assert.equal(readCgroupMode([memory, cpu].join('\n'), '').mode, 'v1')
  const hybrid = readCgroupMode([memory, cpu, beside].join('\n'), '')
  assert.equal(hybrid.mode, 'hybrid')
  assert.deepEqual([hybrid.controllers.has('cpu'), hybrid.controllers.has('pids')], [true, false])
  assert.equal(readCgroupMode('', '').mode, 'none')
})

test("Docker's and ufw's forward policies are found; ours and bridges' are not", () => {
  const chain = (entry: object): object => ({
    chain: { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', ...entry },
  })
  const drops = dropsInNftables(
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        chain({ policy: 'drop' }),
        chain({ family: 'inet', table: 'cr3fa9c1', name: 'forward', policy: 'accept' }),
        chain({ family: 'bridge', policy: 'drop' }),
        chain({ hook: 'input', policy: 'drop' }),
      ],
    }),
  )
  assert.deepEqual(
    drops.map(({ where }) => where),
    ['ip filter FORWARD'],
  )
  assert.match(drops[0]?.fix ?? '', /^nft insert rule ip filter FORWARD iifname '"cr\*"' accept && /)
  assert.equal(dropsInLegacyTables('-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n').length, 1)
  assert.equal(dropsInLegacyTables('-P FORWARD ACCEPT\n').length, 0)
})

test('the remedy for a dropping firewall is enough', () => {
  const program = `
    import { execFileSync } from 'node:child_process'
    import { findForwardDrops } from ${JSON.stringify(new URL('forward-rules.ts', import.meta.url).href)}
    execFileSync('nft', ['-f', '-'], { input: 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }' })
    const before = await findForwardDrops()
    execFileSync('sh', ['-c', before[0].fix])
    console.log(before.length, (await findForwardDrops()).length)`
  const { stdout, stderr } = spawnSync(
    'unshare',
    ['--net', process.execPath, '--input-type=module-typescript', '--eval', program],
    { encoding: 'utf8', env: systemEnvironment },
  )
  assert.equal(stdout, '1 0\n', stderr)
})
