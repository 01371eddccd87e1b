import type { SandboxInfo } from '@coderunner/runtime'
import type { InstanceRow } from './instance-store.ts'
import type { ObservedInstance } from './plan-deployment.ts'

/** Rows and sandboxes of one deployment brought together. One-off commands belong to whoever runs them and are left out. */
export function observedInstances(
  deploymentId: string,
  rows: readonly InstanceRow[],
  sandboxes: readonly SandboxInfo[],
): ObservedInstance[] {
  const byId = new Map(sandboxes.map(sandbox => [sandbox.id, sandbox]))
  const known = rows.flatMap<ObservedInstance>(row => {
    if (row.kind === 'command') return []
    return {
      id: row.id,
      kind: row.kind,
      process: row.process,
      number: row.number,
      row: row.status,
      sandbox: byId.get(row.id)?.status ?? 'absent',
      createdAt: row.created_at,
    }
  })
  const withRow = new Set(rows.map(row => row.id))
  const strays = sandboxes
    .filter(({ id, labels }) => labels['deployment'] === deploymentId && !withRow.has(id))
    .map<ObservedInstance>(({ id, status, createdAt }) => ({
      id,
      kind: 'instance',
      process: '',
      number: 0,
      row: 'stray',
      sandbox: status,
      createdAt,
    }))
  return [...known, ...strays]
}
