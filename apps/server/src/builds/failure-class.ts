/** One way in which builds fail. */
export interface FailureClass {
  /** Found in what was written last, without colours. */
  pattern: RegExp
  /** One sentence: what is wrong and what to change. */
  explain: (found: RegExpExecArray) => string
}
