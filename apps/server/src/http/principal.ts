/** Who makes a request. */
export interface Principal {
  userId: string
  email: string
  administrator: boolean
  /** A log-in (JWT or cookie) or an API token. */
  via: 'session' | 'token'
  /** The log-in's session, where there is one. */
  sessionId?: string
}

/** What a request brought to say who it is. */
export interface Credential {
  kind: 'bearer' | 'cookie'
  value: string
}

/** Finds who a credential belongs to; nobody when it is unknown, expired or revoked. */
export type Authenticate = (credential: Credential) => Promise<Principal | undefined>
