import { newId } from '@coderunner/contract'
import { betterAuth } from 'better-auth'
import type { Db } from '../database.ts'
import { hashPassword, verifyPassword } from './password.ts'
import { sessionSeconds } from './session-tokens.ts'

/** Header in which the address of a log-in is handed to better-auth; never read from a request. */
export const addressHeader = 'x-coderunner-client-address'

const timestamps = { createdAt: 'created_at', updatedAt: 'updated_at' }

/**
 * better-auth over our tables, for what it knows best: registering, checking passwords in constant time, making session
 * rows (and later organizations and TOTP). Its own HTTP handler, cookies and JWTs are left out: the contract fixes the
 * routes, and a token here holds a session's id that is looked up each time, so that revoking it takes effect.
 *
 * `db` may be a transaction: what it writes then belongs to it.
 */
export function betterAuthOn(db: Db, options: { publicUrl: string; secret: string }) {
  return betterAuth({
    baseURL: options.publicUrl,
    secret: options.secret,
    database: { db, type: 'postgres', transaction: false },
    emailAndPassword: {
      enabled: true,
      autoSignIn: false,
      minPasswordLength: 8,
      maxPasswordLength: 128,
      password: { hash: hashPassword, verify: verifyPassword },
    },
    user: { fields: { emailVerified: 'email_verified', ...timestamps } },
    session: {
      expiresIn: sessionSeconds,
      fields: {
        userId: 'user_id',
        expiresAt: 'expires_at',
        ipAddress: 'ip_address',
        userAgent: 'user_agent',
        ...timestamps,
      },
    },
    account: {
      fields: {
        userId: 'user_id',
        accountId: 'account_id',
        providerId: 'provider_id',
        accessToken: 'access_token',
        refreshToken: 'refresh_token',
        idToken: 'id_token',
        accessTokenExpiresAt: 'access_token_expires_at',
        refreshTokenExpiresAt: 'refresh_token_expires_at',
        ...timestamps,
      },
    },
    verification: { fields: { expiresAt: 'expires_at', ...timestamps } },
    advanced: {
      // The schema is ours and tested; its check at run time would need a connection besides the transaction's.
      database: { generateId: () => newId(), validateSchema: false },
      ipAddress: { ipAddressHeaders: [addressHeader], ipv6Subnet: 128 },
    },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
  })
}
