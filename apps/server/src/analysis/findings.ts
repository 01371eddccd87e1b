/** What an analysis found and why, in the order it was found. */
export class Findings {
  readonly findings: { what: string; why: string }[] = []
  readonly warnings: string[] = []
  /** Looked at without success: told when nothing is found at all. */
  readonly notes: string[] = []

  found(what: string, why: string): void {
    this.findings.push({ what, why })
  }
  warn(warning: string): void {
    this.warnings.push(warning)
  }
  noted(note: string): void {
    this.notes.push(note)
  }
}
