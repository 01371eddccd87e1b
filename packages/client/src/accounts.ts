import { itemsOf, type Page } from './pages.ts'
import { route } from './routes.ts'
import type {
  ApiToken,
  CreatedApiToken,
  Invitation,
  LoggedIn,
  Login,
  NewApiToken,
  Registered,
  Registration,
  Verified,
} from './shapes.ts'
import type { Transport } from './transport.ts'

export class Auth {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  register(registration: Registration): Promise<Registered> {
    return this.#transport.json(route.register, { json: registration })
  }

  login(credentials: Login): Promise<LoggedIn> {
    return this.#transport.json(route.login, { json: credentials })
  }

  /** Whose token this is. */
  verify(): Promise<Verified> {
    return this.#transport.json(route.verify)
  }

  /** Ends the log-in that this token belongs to. */
  async logout(): Promise<void> {
    await this.#transport.json(route.logout)
  }

  /** Lets somebody register where that needs an invitation; for administrators. */
  invite(): Promise<Invitation> {
    return this.#transport.json(route.invite)
  }
}

export class Tokens {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(): AsyncGenerator<ApiToken> {
    return itemsOf(cursor => this.#transport.json<Page<ApiToken>>(route.listTokens, { query: { cursor } }))
  }

  /** The answer's `token` is shown this once only. */
  create(token: NewApiToken): Promise<CreatedApiToken> {
    return this.#transport.json(route.createToken, { json: token })
  }

  revoke(id: string): Promise<void> {
    return this.#transport.json(route.revokeToken, { params: { id } })
  }
}
