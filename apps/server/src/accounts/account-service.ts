import { AppError } from '@coderunner/contract'
import type { Database } from '@coderunner/database'
import { isAPIError } from 'better-auth/api'
import { audit } from '../audit/audit-log.ts'
import type { DB, Db } from '../database.ts'
import type { Authenticate, Principal } from '../http/principal.ts'
import { ForbiddenError, UnauthenticatedError } from '../http/problem.ts'
import { accounts } from './account-store.ts'
import { type ApiTokenRow, apiTokens } from './api-token-store.ts'
import { addressHeader, betterAuthOn } from './better-auth.ts'
import { hashSecretText, newSecretText, sameSecret } from './secret-text.ts'
import { SessionCache } from './session-cache.ts'
import { SessionTokens } from './session-tokens.ts'

export interface AccountServiceOptions {
  database: Database<DB>
  publicUrl: string
  /** 32 bytes, for nothing else. */
  signingKey: Buffer
  registration: { mode: 'open' | 'invite' | 'closed'; setupToken?: string }
  /** The first account needs no set-up token where nobody but the machine's own users can reach the server. */
  loopbackOnly: boolean
}

export interface NewAccount {
  email: string
  password: string
  name?: string
  setupToken?: string
  invitation?: string
}

const dayMs = 24 * 3600 * 1000

export class EmailTakenError extends AppError {
  constructor(email: string) {
    super('email_taken', `There is an account for ${email} already: log in instead.`)
  }
}

/** Accounts, log-ins and API tokens, each change together with its audit event. */
export class AccountService implements AsyncDisposable {
  readonly #options: AccountServiceOptions
  readonly #database: Database<DB>
  readonly #tokens: SessionTokens
  readonly #sessions: SessionCache
  readonly #stop = new AbortController()

  private constructor(options: AccountServiceOptions) {
    this.#options = options
    this.#database = options.database
    this.#tokens = new SessionTokens(options.signingKey)
    this.#sessions = new SessionCache(sessionId => accounts(this.#database.kysely).sessionOwner(sessionId))
  }

  static async start(options: AccountServiceOptions): Promise<AccountService> {
    const service = new AccountService(options)
    await options.database.listen('session_revoked', sessionId => service.#sessions.forget(sessionId), {
      signal: service.#stop.signal,
      onReconnect: () => service.#sessions.clear(),
    })
    return service
  }

  anyAccount(): Promise<boolean> {
    return accounts(this.#database.kysely).anyUser()
  }

  /** Makes an account, the first one an administrator. */
  async register(account: NewAccount): Promise<{ userId: string; administrator: boolean }> {
    const email = account.email.toLowerCase()
    return this.#database.transaction(async tx => {
      const store = accounts(tx)
      await store.lockRegistration()
      const administrator = !(await store.anyUser())
      if (administrator) this.#checkSetupToken(account.setupToken)
      else await this.#checkInvitation(tx, account.invitation)
      if (await store.emailTaken(email)) throw new EmailTakenError(email)
      const { user } = await this.#betterAuth(tx)
        .api.signUpEmail({ body: { email, password: account.password, name: account.name ?? '' } })
        .catch((error: unknown) => {
          if (isAPIError(error) && error.statusCode === 400) throw new AppError('invalid_request', error.message)
          throw error
        })
      if (administrator) await store.makeAdministrator(user.id)
      await audit(tx).append({
        userId: user.id,
        action: 'account:register',
        subject: email,
        details: { administrator },
      })
      return { userId: user.id, administrator }
    })
  }

  #checkSetupToken(given: string | undefined): void {
    if (this.#options.loopbackOnly) return
    const { setupToken } = this.#options.registration
    if (setupToken === undefined || given === undefined || !sameSecret(given, setupToken))
      throw new ForbiddenError('The first account needs the set-up token that was printed when the server started.')
  }

  async #checkInvitation(tx: Db, invitation: string | undefined): Promise<void> {
    const { mode } = this.#options.registration
    if (mode === 'open') return
    if (mode === 'closed') throw new ForbiddenError('Registration is closed here: ask an administrator.')
    const hash = hashSecretText(invitation ?? '').toString('hex')
    if (!(await accounts(tx).takeInvitation(hash)))
      throw new ForbiddenError('Registration needs an invitation that is valid: ask an administrator for one.')
  }

  /** An unknown e-mail and a wrong password get the same answer in the same time: better-auth hashes in both cases. */
  async login(
    credentials: { email: string; password: string },
    client: { address: string; agent: string },
  ): Promise<{ userId: string; token: string; expiresAt: Date }> {
    const headers = new Headers({ [addressHeader]: client.address, 'user-agent': client.agent })
    return this.#database.transaction(async tx => {
      const signedIn = await this.#betterAuth(tx)
        .api.signInEmail({ body: { email: credentials.email, password: credentials.password }, headers })
        .catch((error: unknown) => {
          if (isAPIError(error) && error.statusCode < 500)
            throw new UnauthenticatedError('The e-mail or the password is wrong.')
          throw error
        })
      const userId = signedIn.user.id
      const session = await accounts(tx).sessionOf(signedIn.token)
      await accounts(tx).removeExpiredSessions()
      await audit(tx).append({ userId, action: 'session:create', subject: session.id })
      const token = await this.#tokens.issue({ userId, sessionId: session.id }, session.expires_at)
      return { userId, token, expiresAt: session.expires_at }
    })
  }

  authenticate: Authenticate = async ({ kind, value }): Promise<Principal | undefined> => {
    if (kind === 'bearer' && value.startsWith('cr_'))
      return apiTokens(this.#database.kysely).owner(hashSecretText(value))
    const claims = await this.#tokens.read(value)
    const owner = claims && (await this.#sessions.find(claims.sessionId))
    if (owner === undefined || owner.userId !== claims?.userId) return undefined
    const { sessionId, userId, email, administrator } = owner
    return { userId, email, administrator, via: 'session', sessionId }
  }

  sessions(principal: Principal) {
    return accounts(this.#database.kysely).sessionsOf(principal.userId)
  }

  /** Ends one session of the principal's, or all besides the one that asks. */
  async revokeSessions(principal: Principal, which: { only: string } | { besides: string }): Promise<number> {
    const revoked = await this.#database.transaction(async tx => {
      const ids = await accounts(tx).revokeSessions(principal.userId, which)
      for (const id of ids) await audit(tx).append({ userId: principal.userId, action: 'session:revoke', subject: id })
      return ids
    })
    for (const id of revoked) this.#sessions.forget(id)
    return revoked.length
  }

  async createToken(
    principal: Principal,
    { name, expiresInDays }: { name: string; expiresInDays?: number },
  ): Promise<ApiTokenRow & { token: string }> {
    const token = newSecretText('cr')
    const expiresAt = expiresInDays === undefined ? null : new Date(Date.now() + expiresInDays * dayMs)
    return this.#database.transaction(async tx => {
      const { userId } = principal
      const row = await apiTokens(tx).create({ userId, name, hash: hashSecretText(token), expiresAt })
      await audit(tx).append({ userId, action: 'token:create', subject: row.id, details: { name } })
      return { ...row, token }
    })
  }

  tokens(principal: Principal): Promise<ApiTokenRow[]> {
    return apiTokens(this.#database.kysely).list(principal.userId)
  }

  async removeToken(principal: Principal, id: string): Promise<void> {
    await this.#database.transaction(async tx => {
      const removed = await apiTokens(tx).remove(principal.userId, id)
      if (removed === undefined) throw new AppError('not_found', `You have no API token ${id}.`)
      await audit(tx).append({
        userId: principal.userId,
        action: 'token:revoke',
        subject: id,
        details: { name: removed.name },
      })
    })
  }

  /** A secret with which one person may register, for 7 days. */
  async invite(principal: Principal): Promise<{ invitation: string; expiresAt: Date }> {
    const invitation = newSecretText('crinvite')
    const expiresAt = new Date(Date.now() + 7 * dayMs)
    await this.#database.transaction(async tx => {
      await accounts(tx).addInvitation(hashSecretText(invitation).toString('hex'), principal.userId, expiresAt)
      await audit(tx).append({ userId: principal.userId, action: 'invitation:create', subject: principal.email })
    })
    return { invitation, expiresAt }
  }

  #betterAuth(db: Db) {
    return betterAuthOn(db, {
      publicUrl: this.#options.publicUrl,
      secret: this.#options.signingKey.toString('base64'),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
  }
}
