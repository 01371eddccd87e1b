import type { OutputChunk, OutputLine, ProcessEvent } from '../sandbox.ts'

/** Lines of a main process; an offset is a number of lines. */
export class MemoryLog {
  #lines: OutputLine[] = []
  #dropped = 0
  #ended = false
  #changed = Promise.withResolvers<void>()

  async follow(events: AsyncIterable<ProcessEvent>): Promise<void> {
    const open = { stdout: '', stderr: '' }
    for await (const { stream, data } of events) {
      if (stream === 'pty') continue
      const parts = (open[stream] + data.toString()).split('\n')
      open[stream] = parts.pop() ?? ''
      for (const text of parts) this.#add(stream, text)
    }
    for (const stream of ['stdout', 'stderr'] as const) if (open[stream] !== '') this.#add(stream, open[stream])
    this.#ended = true
    this.#wake()
  }

  async *read({ offset, signal }: { offset: number; signal: AbortSignal }): AsyncGenerator<OutputChunk> {
    signal.addEventListener('abort', () => this.#wake(), { once: true })
    for (let at = Math.max(offset, this.#dropped); !signal.aborted; ) {
      const lines = this.#lines.slice(Math.max(0, at - this.#dropped))
      if (lines.length > 0) {
        at += lines.length
        yield { lines, offset: at }
      } else if (this.#ended) return
      else await this.#changed.promise
    }
  }

  acknowledge(offset: number): void {
    const gone = Math.max(0, Math.min(offset - this.#dropped, this.#lines.length))
    this.#lines.splice(0, gone)
    this.#dropped += gone
  }

  #add(stream: 'stdout' | 'stderr', text: string): void {
    this.#lines.push({ time: Date.now(), stream, text })
    this.#wake()
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
