import { BodyError } from './transport.ts'

/** What can be uploaded: bytes at hand (a browser's file), or a stream that is opened anew for every attempt. */
export type ArchiveSource = Blob | (() => ReadableStream<Uint8Array>)

/**
 * A form with the options first and then the archive, streamed: an archive may be larger than memory, and the server
 * knows the project before the first byte of it. Made anew with the same boundary for every attempt, so that repeated
 * requests are equal byte for byte.
 */
export function archiveForm(
  options: object,
  archive: ArchiveSource,
  boundary: string,
): { content: ReadableStream<Uint8Array> | FormData; contentType?: string } {
  if (archive instanceof Blob) {
    const content = new FormData()
    content.set('options', new Blob([JSON.stringify(options)], { type: 'application/json' }))
    content.set('archive', archive, 'source.tar.gz')
    return { content }
  }
  return {
    content: ReadableStream.from(formParts(options, archive(), boundary)),
    contentType: `multipart/form-data; boundary=${boundary}`,
  }
}

async function* formParts(options: object, archive: ReadableStream<Uint8Array>, boundary: string) {
  const encoder = new TextEncoder()
  yield encoder.encode(
    [
      `--${boundary}`,
      'content-disposition: form-data; name="options"',
      'content-type: application/json',
      '',
      JSON.stringify(options),
      `--${boundary}`,
      'content-disposition: form-data; name="archive"; filename="source.tar.gz"',
      'content-type: application/gzip',
      '',
      '',
    ].join('\r\n'),
  )
  try {
    yield* archive
  } catch (error) {
    throw new BodyError(error)
  }
  yield encoder.encode(`\r\n--${boundary}--\r\n`)
}
