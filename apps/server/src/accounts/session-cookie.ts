import { sessionCookieNames } from '@coderunner/contract'
import type { FastifyReply } from 'fastify'

export function sessionCookieName(publicUrl: string): string {
  return sessionCookieNames[isHttps(publicUrl) ? 'https' : 'http']
}

export function setSessionCookie(reply: FastifyReply, publicUrl: string, token: string, expires: Date): void {
  reply.setCookie(sessionCookieName(publicUrl), token, { ...attributes(publicUrl), expires })
}

export function clearSessionCookie(reply: FastifyReply, publicUrl: string): void {
  reply.clearCookie(sessionCookieName(publicUrl), attributes(publicUrl))
}

function attributes(publicUrl: string) {
  return { path: '/', httpOnly: true, sameSite: 'lax', secure: isHttps(publicUrl) } as const
}

function isHttps(publicUrl: string): boolean {
  return new URL(publicUrl).protocol === 'https:'
}
