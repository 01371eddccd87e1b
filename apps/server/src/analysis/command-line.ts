/** Commands as people write them, turned into argument lists; a shell only where its syntax is used. */

const plainWord = /^[A-Za-z0-9_./:=@%+,~^-]+$/

/**
 * The words of a command that means the same with and without a shell, or undefined where quotes, variables, `&&` and the
 * like ask for one. Single and double quotes around harmless text are taken off.
 */
export function plainWords(command: string): string[] | undefined {
  const words: string[] = []
  const pattern = /\s*(?:'([^'\n]*)'|"([^"$`\\\n!]*)"|([^\s'"]+))(?=\s|$)/gy
  let end = 0
  for (const match of command.matchAll(pattern)) {
    end = match.index + match[0].length
    const bare = match[3]
    if (bare !== undefined && (!plainWord.test(bare) || bare.startsWith('~'))) return undefined
    words.push(match[1] ?? match[2] ?? (bare as string))
  }
  return words.length > 0 && command.slice(end).trim() === '' ? words : undefined
}

const assignment = /^[A-Za-z_][A-Za-z0-9_]*=/

/** Argument list that runs a command: itself when plain, by `sh -c` (one argument, never pieced together) otherwise. */
export function argvOf(command: string): string[] {
  const words = plainWords(command)
  if (words === undefined) return ['sh', '-c', command]
  return assignment.test(words[0] ?? '') ? ['env', ...words] : words
}

/** The file a plain `[A=b …] node [file] …` runs, or undefined for anything else. Options before the file are not looked into. */
export function nodeScriptOf(command: string): { file: string | undefined } | undefined {
  const words = plainWords(command)
  if (words === undefined) return undefined
  const first = words.findIndex(word => !assignment.test(word))
  if (words[first] !== 'node') return undefined
  const file = words[first + 1]
  return { file: file === undefined || file.startsWith('-') ? undefined : file }
}
