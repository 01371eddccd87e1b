/** Resolves with a word on how things are, or rejects with what is wrong; `signal` is aborted after 5 s. */
export type Check = (signal: AbortSignal) => Promise<string | void>

export interface CheckResult {
  name: string
  ok: boolean
  detail?: string
}

const timeoutMs = 5000

/** What the server depends on, asked when somebody wants to know. Parts of the server add their own checks. */
export class HealthChecks {
  readonly #checks = new Map<string, Check>()

  add(name: string, check: Check): void {
    this.#checks.set(name, check)
  }

  run(): Promise<CheckResult[]> {
    return Promise.all([...this.#checks].map(([name, check]) => runCheck(name, check)))
  }
}

async function runCheck(name: string, check: Check): Promise<CheckResult> {
  const signal = AbortSignal.timeout(timeoutMs)
  const { promise: timedOut, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(new Error(`no answer in ${timeoutMs} ms`))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const detail = await Promise.race([check(signal), timedOut])
    return { name, ok: true, ...(typeof detail === 'string' && { detail }) }
  } catch (error) {
    return { name, ok: false, detail: (error as Error).message }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
