const longestLine = 16 * 1024 * 1024

/** Values of a stream of JSON lines, however the network cuts it. Blank lines (a server's sign of life) are skipped. */
export async function* readJsonLines<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  const decoder = new TextDecoder()
  // Not `for await`: not every browser iterates over a stream.
  const reader = body.getReader()
  let rest = ''
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const lines = (rest + decoder.decode(next.value, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > longestLine) throw new RangeError('The server sent a line of more than 16 MB.')
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as T
    }
  } finally {
    await reader.cancel().catch(() => undefined) // A broken stream is reported by read(), not by this.
  }
  rest += decoder.decode()
  if (rest.trim() !== '') yield JSON.parse(rest) as T
}
