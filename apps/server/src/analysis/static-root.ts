import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'

/** The folder a static site is served from (`.` is the project itself), or undefined when there is none. */
export function staticRoot(files: ProjectFiles, findings: Findings): string | undefined {
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
  return undefined
}
