import { jwtVerify, SignJWT } from 'jose'

export const sessionSeconds = 7 * 24 * 3600

export interface SessionClaims {
  userId: string
  sessionId: string
}

/** The JWTs of log-ins: HS256, 7 days, with `sub` and `sid` only. What they may do is looked up, never written in them. */
export class SessionTokens {
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    this.#key = key
  }

  issue({ userId, sessionId }: SessionClaims, expiresAt: Date): Promise<string> {
    return new SignJWT({ sid: sessionId })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(userId)
      .setExpirationTime(expiresAt)
      .sign(this.#key)
  }

  /** What a token says, when it is one of ours and has not expired. */
  async read(token: string): Promise<SessionClaims | undefined> {
    try {
      const { payload } = await jwtVerify<{ sid?: unknown }>(token, this.#key, {
        algorithms: ['HS256'],
        requiredClaims: ['sub', 'sid', 'exp'],
      })
      if (payload.sub === undefined || typeof payload.sid !== 'string') return undefined
      return { userId: payload.sub, sessionId: payload.sid }
    } catch {
      // Malformed, forged or expired: to the caller all of them are no token.
      return undefined
    }
  }
}
