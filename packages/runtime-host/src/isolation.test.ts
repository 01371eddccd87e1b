import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { newId } from '@coderunner/contract'
import type { SandboxSpec } from '@coderunner/runtime'
import { HostProvider } from './host-provider.ts'
import type { HostSandbox } from './host-sandbox.ts'
import { makeTestHost } from './test-provider.ts'

const host = makeTestHost()
const fence = { key: 'test', epoch: 1 }
let provider: HostProvider
before(async () => {
  provider = await HostProvider.start(host.options)
})
after(async () => {
  await provider[Symbol.asyncDispose]()
  await host.clean()
})

async function make(main: SandboxSpec['main'], rest: Partial<SandboxSpec> = {}): Promise<HostSandbox> {
  const spec: SandboxSpec = {
    id: newId(),
    group: 'group',
    labels: {},
    template: 'node',
    layers: [],
    limits: { memoryMb: 128, cpus: 1, pids: 64, diskMb: 64 },
    env: {},
    main,
    network: { egress: 'none' },
    ...rest,
  }
  await provider.create(spec, fence)
  const sandbox = await provider.get(spec.id)
  assert.ok(sandbox)
  return sandbox
}

async function outputOf(argv: string[], rest: Partial<SandboxSpec> = {}): Promise<string> {
  const sandbox = await make({ kind: 'command', argv }, rest)
  let text = ''
  for await (const { lines } of sandbox.output({ offset: 0, signal: AbortSignal.timeout(20_000) })) {
    for (const line of lines) text += `${line.text}\n`
  }
  await sandbox.destroy(fence)
  return text
}

async function asRoot(sandbox: HostSandbox, ...argv: string[]): Promise<string> {
  const process = await sandbox.run({ argv, user: 'root' })
  let text = ''
  for await (const { data } of process.output()) text += data.toString()
  return text
}

test('a command has no rights, is nobody on the host, and can get none', async () => {
  const status = await outputOf(['cat', '/proc/self/status', '/proc/self/uid_map'])
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.match(status, new RegExp(`^${set}:\t0+$`, 'm'))
  }
  assert.match(status, /^NoNewPrivs:\t1$/m)
  assert.match(status, /^Seccomp:\t2$/m)
  assert.match(status, /^Uid:\t1000\t/m)
  const [inside, outside, size] = status.trimEnd().split('\n').at(-1)?.trim().split(/\s+/).map(Number) ?? []
  assert.equal(inside, 0)
  assert.ok((outside ?? 0) >= 1_000_000)
  assert.equal(size, 65536)
})

test('what administers a machine is refused', async () => {
  const attempts = [
    'unshare --user true',
    'mount -t tmpfs none /tmp',
    'sudo -n true',
    'chroot / true',
    'echo 1 > /proc/sys/kernel/panic',
    'echo 1 > /sys/fs/cgroup/x',
    'cat /proc/kcore',
    'ls /sys/devices/virtual/block/loop0',
    'touch /etc/x',
    'touch /usr/local/bin/x',
    'mknod /tmp/x c 1 3',
    'python3 -c "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"',
    'python3 -c "import socket; socket.socket(40, socket.SOCK_STREAM)"',
  ]
  const script = attempts
    .map((attempt, n) => `if (${attempt}) >/dev/null 2>&1; then echo "allowed ${n}"; fi`)
    .join('\n')
  assert.equal(await outputOf(['sh', '-c', `${script}\necho done`]), 'done\n')
})

test('root inside is root over its own files only', async () => {
  const sandbox = await make({ kind: 'agent' })
  assert.equal(
    await asRoot(sandbox, 'sh', '-c', 'touch /usr/x /etc/x && chown user /etc/x && stat -c %U /etc/x'),
    'user\n',
  )
  const attempts = [
    'mount -t tmpfs none /mnt',
    'unshare -n true',
    'mknod /tmp/x c 1 3',
    'touch /opt/coderunner/x',
    'hostname x',
  ]
  for (const attempt of attempts) {
    const answer = await asRoot(sandbox, 'sh', '-c', `${attempt} 2>/dev/null && echo allowed`)
    assert.equal(answer, '', attempt)
  }
  // As seen from the host, and not as a mere number: the file belongs to the sandbox's own range.
  assert.notEqual(
    Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${sandbox.record.running.main.pid}/status`, 'utf8'))?.[1]),
    0,
  )
  await sandbox.destroy(fence)
})

test('a sandbox finds its own name, resolver and limits', async () => {
  const text = await outputOf([
    'sh',
    '-c',
    'hostname; getent hosts localhost; cat /etc/resolv.conf; cat /proc/sys/user/max_inotify_instances; node -p "os.totalmem()>0 && v8.getHeapStatistics().heap_size_limit < 300*1048576"; pwd; echo $HOME $PATH',
  ])
  assert.match(text, /^[a-z0-9]{20}\n127\.0\.0\.1 +localhost\nnameserver 10\./)
  assert.match(text, /^512\ntrue\n\/app\n\/home\/user \/usr\/local\/sbin:/m)
})

test('every sandbox has ids of its own', async () => {
  const map = ['sh', '-c', 'cat /proc/self/uid_map']
  assert.notEqual(await outputOf(map), await outputOf(map))
})
