import { basename } from 'node:path'
import { isLink, type SourceFileEntry, type SourceTree } from './source-tree.ts'

const largestKeyBytes = 64 * 1024
const keyBegin = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/
const environmentFile = /^\.env(\..+)?$/
const sampleFile = /^\.env\.(example|sample|template|dist|defaults?|schema)$/
const mostFilesRead = 50

/** Files of an upload that hold secrets, by name and, for keys, by what is in them. */
export async function sensitiveFiles(
  tree: SourceTree,
  read: (file: SourceFileEntry) => Promise<Buffer>,
): Promise<string[]> {
  const found: string[] = []
  let reads = 0
  for (const entry of tree) {
    if (isLink(entry)) continue
    const name = basename(entry.path)
    if (environmentFile.test(name) && !sampleFile.test(name)) found.push(entry.path)
    else if (/^id_(rsa|dsa|ecdsa|ed25519)$/.test(name)) found.push(entry.path)
    else if (/\.(pem|key)$/.test(name) && entry.size <= largestKeyBytes && reads++ < mostFilesRead) {
      const content = await read(entry)
      if (keyBegin.test(content.toString('latin1'))) found.push(entry.path)
    }
  }
  return found
}
