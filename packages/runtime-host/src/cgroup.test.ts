import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CgroupHierarchies } from './cgroup.ts'

const line = (path: string, type: string, options: string): string =>
  `30 24 0:26 / ${path} rw,nosuid shared:9 - ${type} ${type} ${options}`

test('hierarchies are found on version 1, version 2 and the hybrid', () => {
  const legacy = [
    line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct'),
    line('/sys/fs/cgroup/memory', 'cgroup', 'rw,memory'),
  ]
  const hybrid = CgroupHierarchies.detect([...legacy, line('/sys/fs/cgroup/unified', 'cgroup2', 'rw')].join('\n'))
  assert.equal(hybrid.legacy.get('cpuacct'), '/sys/fs/cgroup/cpu,cpuacct')
  assert.equal(hybrid.naming(), '/sys/fs/cgroup/unified')
  assert.deepEqual(hybrid.roots(), ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/cpu,cpuacct', '/sys/fs/cgroup/memory'])
  const second = CgroupHierarchies.detect(line('/sys/fs/cgroup', 'cgroup2', 'rw,nsdelegate'))
  assert.deepEqual([second.legacy.size, second.naming()], [0, '/sys/fs/cgroup'])
  assert.equal(CgroupHierarchies.detect(legacy.join('\n')).naming(), '/sys/fs/cgroup/cpu,cpuacct')
  assert.throws(() => CgroupHierarchies.detect('').naming(), /No cgroup hierarchy/)
})
