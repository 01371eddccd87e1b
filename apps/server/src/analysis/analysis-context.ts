/** What the analysers of a project share. Each looks at the files and says how such a project is built and run, or nothing. */
import type { api } from '@coderunner/contract'
import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'
import type { SoftwareVersions } from './software-versions.ts'

/** What was asked for, by options of the deploy or by the project file. */
export interface Wishes {
  runtime?: api.DeployOptions['runtime'] | undefined
  /** Command of the process `web`. */
  start?: string | undefined
  /** Empty for none. */
  build?: string | undefined
  port?: number | undefined
  /** Folder of the upload that is deployed. */
  directory?: string | undefined
  processes?: readonly api.ProcessPlan[] | undefined
  /** Command that runs once before a new version serves. */
  release?: string | undefined
  /** Folder a static site is served from. */
  root?: string | undefined
  indexFallback?: boolean | undefined
}

export interface AnalysisContext {
  /** Of the folder that is deployed. */
  files: ProjectFiles
  wishes: Wishes
  /** Known already, from the wishes or a Procfile: then no start has to be found. */
  processes: readonly api.ProcessPlan[] | undefined
  findings: Findings
  versions: SoftwareVersions
}

export type Found = Omit<api.Detection, 'findings' | 'warnings'>
export type Analyser = (context: AnalysisContext) => Promise<Found | undefined>
