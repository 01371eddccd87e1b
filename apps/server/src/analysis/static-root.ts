import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'

/** The folder a static site is served from (`.` is the project itself), or undefined when there is none. */
export async function staticRoot(files: ProjectFiles, findings: Findings): Promise<string | undefined> {
  const named = /^\s*root:\s*['"]?([^'"\s#]+)/m.exec((await files.read('Staticfile')) ?? '')?.[1]
  if (named !== undefined) {
    findings.found(`static site in ${named}`, 'Staticfile names it')
    return named.replace(/^\.\/|\/+$/g, '') || '.'
  }
  if (files.has('public/index.html')) {
    findings.found('static site in public/', 'public/index.html is there')
    return 'public'
  }
  if (files.has('index.html')) {
    findings.found('static site', 'index.html is there')
    return '.'
  }
  if (files.paths.some(path => path.startsWith('public/'))) {
    findings.found('static site in public/', 'there is a public folder')
    return 'public'
  }
  if (files.has('Staticfile')) {
    findings.found('static site', 'there is a Staticfile')
    return '.'
  }
  return undefined
}
