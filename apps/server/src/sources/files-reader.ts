/** The JSON form of an upload: files with their content in base64, or the hash of a content the project has already. */
import { AppError, type api } from '@coderunner/contract'
import { archiveLimits } from './archive-limits.ts'
import { isIgnored, normalPath, pathProblem, type SourceEntry, shown, treeProblem } from './source-tree.ts'
import type { StagedUpload } from './staged-upload.ts'

/** Sizes of the contents, by hash, that a project has of those asked for. */
export type KnownSizes = (hashes: readonly string[]) => Promise<ReadonlyMap<string, number>>

export async function readFiles(
  files: readonly api.SourceFile[],
  upload: StagedUpload,
  known: KnownSizes,
): Promise<SourceEntry[]> {
  const sizes = await known([...new Set(files.flatMap(file => ('hash' in file ? [file.hash] : [])))])
  const tree: SourceEntry[] = []
  let total = 0
  for (const [index, file] of files.entries()) {
    const path = normalPath(file.path)
    const problem = pathProblem(path)
    if (problem !== undefined) throw refused(index, file.path, problem)
    if (isIgnored(path)) continue
    const entry = await readFile(index, path, file)
    if ('size' in entry) total += entry.size
    if (total > archiveLimits.unpackedBytes) throw new AppError('too_large', 'The files together are too large.')
    tree.push(entry)
  }
  const found = treeProblem(tree)
  if (found !== undefined) throw refused(undefined, found.path, found.problem)
  return tree

  async function readFile(index: number, path: string, file: api.SourceFile): Promise<SourceEntry> {
    if ('link' in file) return { path, link: file.link }
    const executable = file.executable ?? false
    if ('hash' in file) {
      const size = sizes.get(file.hash)
      if (size === undefined) throw unknownHash(index, file.path)
      return { path, hash: file.hash, size, executable }
    }
    const content = Buffer.from(file.content, 'base64')
    if (!isBase64Of(file.content, content)) throw refused(index, file.path, 'has content that is not base64')
    return { path, ...(await upload.addBuffer(content)), executable }
  }
}

/** Node's decoder skips what it does not know: the length tells whether anything was skipped. */
function isBase64Of(text: string, content: Buffer): boolean {
  const digits = text.replace(/={1,2}$/, '').length
  return Math.floor((digits * 3) / 4) === content.byteLength && digits % 4 !== 1
}

function refused(index: number | undefined, path: string, problem: string): AppError {
  const message = `“${shown(path)}” ${problem}.`
  return new AppError('invalid_request', `The files were refused: ${message}`, {
    details: [{ path: index === undefined ? '/files' : `/files/${index}/path`, message }],
  })
}

/** 422: the request is well made, but it builds on a file the project does not have (any more). */
function unknownHash(index: number, path: string): AppError {
  const message = `“${shown(path)}” is given by a hash this project does not have; send its content.`
  return new AppError('missing_files', message, { details: [{ path: `/files/${index}/hash`, message }] })
}
