/** A colour or style order (SGR), the one escape sequence that only changes how text looks. */
// oxlint-disable-next-line no-control-regex
const sgr = /\u001b\[[0-9;:]{0,64}m/g

/**
 * Control characters (C0 without tab, DEL, C1), and the marks that reorder text, as a terminal would obey them. What
 * comes from applications and from the server must not move the cursor, set titles or answer for the user.
 */
// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text from elsewhere, fit for a terminal: controls are spelled out (`\x1b`). Colours stay where `colours` allows. */
export function safeText(text: string, { colours = false }: { colours?: boolean } = {}): string {
  const whole = text.replace(/\r?\n$/, '').replace(/\r$/, '')
  if (!colours) return whole.replace(sgr, '').replace(unsafe, spellOut)
  let result = ''
  let end = 0
  for (const match of whole.matchAll(sgr)) {
    result += whole.slice(end, match.index).replace(unsafe, spellOut) + match[0]
    end = match.index + match[0].length
  }
  result += whole.slice(end).replace(unsafe, spellOut)
  return end === 0 ? result : `${result}\u001b[0m`
}

/** Text of several lines, those after the first indented: none of them can pass for one of the CLI's own. */
export function safeLines(text: string): string {
  return text
    .split('\n')
    .map(line => safeText(line))
    .join('\n  ')
}

function spellOut(character: string): string {
  const code = character.charCodeAt(0)
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
}
