/** The dashboard's session cookie. Browsers send cookies to every port of a host, so the ingress keeps it from applications. */
export const sessionCookieNames = {
  http: 'coderunner',
  /** `__Host-` binds the cookie to this host and to https; plain http has no such promise to make. */
  https: '__Host-coderunner',
} as const

const names: ReadonlySet<string> = new Set(Object.values(sessionCookieNames))

/**
 * Whether one cookie, as in a Cookie or a Set-Cookie header, is the session's. Also one without a name whose value looks
 * like it (`=coderunner=…`): browsers send that back as `coderunner=…`.
 */
export function isSessionCookie(cookie: string): boolean {
  const pair = cookie.split(';', 1)[0] as string
  const named = pair.replace(/^[\s=]+/, '')
  const equals = named.indexOf('=')
  return names.has((equals < 0 ? named : named.slice(0, equals)).trim())
}
