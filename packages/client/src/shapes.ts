/** What the API takes and gives, derived from the schemas that the server validates by. */
import type { api } from '@coderunner/contract'
import type { Static } from 'typebox'

export type Login = Static<typeof api.Login>
export type Invitation = Static<typeof api.Invitation>
export type Registration = Static<typeof api.Registration>
export type Registered = Static<typeof api.Registered>
export type LoggedIn = Static<typeof api.LoggedIn>
export type Verified = Static<typeof api.Verified>
export type ApiToken = Static<typeof api.ApiToken>
export type NewApiToken = Static<typeof api.NewApiToken>
export type CreatedApiToken = Static<typeof api.CreatedApiToken>
export type Project = Static<typeof api.Project>
export type NewProject = Static<typeof api.NewProject>
export type ProjectUpdate = Static<typeof api.ProjectUpdate>
export type Member = Static<typeof api.Member>
export type MemberChange = Static<typeof api.MemberChange>
export type AuditEvent = Static<typeof api.AuditEvent>
export type DeployOptions = Static<typeof api.DeployOptions>
export type DeployFiles = Static<typeof api.DeployFiles>
export type SourceFile = Static<typeof api.SourceFile>
export type DeployAccepted = Static<typeof api.DeployAccepted>
export type DeployPlan = Static<typeof api.DeployPlan>
export type Deployment = Static<typeof api.Deployment>
export type DeploymentSummary = Static<typeof api.DeploymentSummary>
export type Operation = Static<typeof api.Operation>
export type OperationStarted = Static<typeof api.OperationStarted>
export type Step = Static<typeof api.Step>
export type RunCommand = Static<typeof api.RunCommand>
export type RunEvent = Static<typeof api.RunEvent>
export type LogQuery = Static<typeof api.LogQuery>
export type LogEntry = Static<typeof api.LogEntry>
export type LogPage = Static<typeof api.LogPage>
export type HealthDetail = Static<typeof api.HealthDetail>
