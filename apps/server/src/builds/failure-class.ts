/** One way in which builds fail. */
export interface FailureClass {
  /**
   * Found in what was written last, without colours. That is a tenant's text: no gaps over lines (`[\s\S]*`), which could
   * take for ever; what stands further on is looked for by `following`.
   */
  pattern: RegExp
  /** One sentence: what is wrong and what to change. */
  explain: (found: RegExpExecArray) => string
}

/** What a later part of the output says: the pattern's groups where it is found first, or none. */
export function following({ input, index }: { input: string; index: number }, pattern: RegExp): (string | undefined)[] {
  return pattern.exec(input.slice(index))?.slice(1) ?? []
}
