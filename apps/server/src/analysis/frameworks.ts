/**
 * What projects are made with, told by their dependencies and settings: what builds them, and what comes of it: a server
 * with its start command, or a folder of files. The first that matches counts, so that those built on others come first.
 */
import { dependsOn, type PackageJson } from './package-json.ts'

/** A part of a project with a package.json of its own. Paths are relative to its folder. */
export interface FrameworkProject {
  json: PackageJson
  has: (path: string) => boolean
  /** The text of the first of these that is there, comments taken off, or an empty one. */
  config: (...paths: string[]) => Promise<string>
}

export interface Server {
  kind: 'server'
  /** Program of a dependency with its arguments, or `node` and a file that the build makes. */
  start: string
  /** What else is said of it. */
  note?: string
}
export interface Site {
  kind: 'site'
  /** Folder that the build makes. */
  output: string
  /** Unknown paths answer index.html. */
  indexFallback: boolean
  /** Start scripts that do not work with what was built. */
  useless?: RegExp
}

export interface Framework {
  name: string
  /** Of one of these dependencies. */
  packages: readonly string[]
  /** Where the dependency alone does not say it. */
  recognised?: (project: FrameworkProject) => boolean
  /** Builds where package.json has no build script. */
  build?: string
  /** Environment that the build needs. */
  buildEnvironment?: Readonly<Record<string, string>>
  /** Start scripts that serve the sources while one works on them, or try a build out: not how it is run. */
  development?: RegExp
  outcome(project: FrameworkProject): Promise<Server | Site | undefined>
}

const site = (output: string, indexFallback: boolean): Site => ({ kind: 'site', output, indexFallback })
const server = (start: string, note?: string): Server => ({
  kind: 'server',
  start,
  ...(note === undefined ? {} : { note }),
})
const configOf = (name: string) => ['ts', 'mts', 'js', 'mjs', 'cjs'].map(ending => `${name}.${ending}`)

/** A quoted setting of a configuration in JavaScript, where it is written plainly. */
function setting(config: string, name: string): string | undefined {
  const value = new RegExp(`\\b${name}\\s*:\\s*(['"\`])([^'"\`\\n$]+)\\1`).exec(config)?.[2]
  return value?.replace(/^\.?\/|\/+$/g, '')
}

const nitro = server('node .output/server/index.mjs')

export const frameworks: readonly Framework[] = [
  {
    name: 'Next.js',
    packages: ['next'],
    build: 'next build',
    development: /\bnext dev\b|^next$/,
    async outcome({ config }) {
      const text = await config(...configOf('next.config'))
      if (setting(text, 'output') !== 'export') return server('next start')
      const output = setting(text, 'distDir')
      const folder = output === undefined || output === '.next' ? 'out' : output
      return { ...site(folder, false), useless: /\bnext start\b/ }
    },
  },
  {
    name: 'Nuxt',
    packages: ['nuxt', 'nuxt3', 'nuxt-nightly'],
    build: 'nuxt build',
    development: /\bnux[ti]\b/,
    async outcome({ json }) {
      return /\bnux[ti] generate\b/.test(json.scripts['build'] ?? '') ? site('.output/public', true) : nitro
    },
  },
  {
    name: 'React Router',
    packages: ['@react-router/dev'],
    build: 'react-router build',
    development: /\breact-router dev\b/,
    async outcome({ config }) {
      const text = await config(...configOf('react-router.config'))
      const output = setting(text, 'buildDirectory') ?? 'build'
      return /\bssr\s*:\s*false\b/.test(text)
        ? site(`${output}/client`, true)
        : server(`react-router-serve ./${output}/server/index.js`)
    },
  },
  {
    name: 'Remix',
    packages: ['@remix-run/dev'],
    build: 'remix vite:build',
    development: /\bremix (?:dev|vite:dev)\b/,
    async outcome({ config }) {
      const text = await config(...configOf('vite.config'))
      if (/\bssr\s*:\s*false\b/.test(text)) return site('build/client', true)
      return server(text === '' ? 'remix-serve ./build/index.js' : 'remix-serve ./build/server/index.js')
    },
  },
  {
    name: 'SvelteKit',
    packages: ['@sveltejs/kit'],
    build: 'vite build',
    // Of the hosts that adapter-auto knows, the one whose adapter makes a plain Node server.
    buildEnvironment: { GCP_BUILDPACKS: 'coderunner' },
    development: /\bvite\b/,
    async outcome({ json, config }) {
      const text = (await config(...configOf('svelte.config'))) + (await config(...configOf('vite.config')))
      const dependencies = { ...json.dependencies, ...json.devDependencies }
      const uses = (adapter: string) => dependencies[adapter] !== undefined && (text === '' || text.includes(adapter))
      if (uses('@sveltejs/adapter-static')) return site(setting(text, 'pages') ?? 'build', /\bfallback\s*:/.test(text))
      if (uses('@sveltejs/adapter-node')) return server(`node ${setting(text, 'out') ?? 'build'}`)
      if (uses('@sveltejs/adapter-auto'))
        return server('node build', 'adapter-auto is told to use @sveltejs/adapter-node, which makes a Node server')
      return undefined
    },
  },
  {
    name: 'SolidStart',
    packages: ['@solidjs/start', 'solid-start'],
    build: 'vinxi build',
    development: /\b(?:vinxi|vite|solid-start) (?:dev|start|preview)\b|^vite$/,
    outcome: async () => nitro,
  },
  {
    name: 'TanStack Start',
    packages: ['@tanstack/react-start', '@tanstack/solid-start', '@tanstack/start'],
    build: 'vite build',
    development: /\b(?:vinxi|vite) (?:dev|start|preview)\b|^vite$/,
    // By itself it makes a handler of requests and no server.
    async outcome({ json }) {
      const makers = ['nitro', 'nitropack', 'nitro-nightly', 'vinxi', '@tanstack/nitro-v2-vite-plugin']
      return makers.some(name => dependsOn(json, name)) ? nitro : undefined
    },
  },
  {
    name: 'Analog',
    packages: ['@analogjs/platform'],
    build: 'vite build',
    development: /\bvite\b|\bng serve\b/,
    outcome: async () => server('node dist/analog/server/index.mjs'),
  },
  {
    name: 'Nitro',
    packages: ['nitropack', 'nitro'],
    build: 'nitro build',
    development: /\bnitro (?:dev|preview)\b/,
    outcome: async () => nitro,
  },
  {
    name: 'Astro',
    packages: ['astro'],
    build: 'astro build',
    development: /\bastro (?:dev|preview|start)\b|^astro$/,
    async outcome({ config }) {
      const text = await config(...configOf('astro.config'))
      const output = setting(text, 'outDir') ?? 'dist'
      return text.includes('@astrojs/node') ? server(`node ./${output}/server/entry.mjs`) : site(output, false)
    },
  },
  {
    name: 'NestJS',
    packages: ['@nestjs/core'],
    build: 'nest build',
    development: /\bnest start\b/,
    async outcome({ json, config }) {
      const production = json.scripts['start:prod']
      if (production !== undefined) return server(production)
      const text = await config('nest-cli.json')
      return server(`node dist/${setting(text.replaceAll('"entryFile"', 'entryFile'), 'entryFile') ?? 'main'}.js`)
    },
  },
  {
    name: 'AdonisJS',
    packages: ['@adonisjs/core'],
    build: 'node ace build',
    development: /\bace serve\b|^node bin\/server\.js$/,
    outcome: async () => server('node build/bin/server.js'),
  },
  {
    name: 'Docusaurus',
    packages: ['@docusaurus/core'],
    build: 'docusaurus build',
    development: /\bdocusaurus (?:start|serve)\b/,
    outcome: async () => site('build', false),
  },
  {
    name: 'VitePress',
    packages: ['vitepress'],
    build: 'vitepress build',
    development: /\bvitepress (?:dev|serve|preview)\b/,
    outcome: async project => site(`${folderOfScript(project, 'vitepress')}.vitepress/dist`, false),
  },
  {
    name: 'VuePress',
    packages: ['vuepress'],
    build: 'vuepress build',
    development: /\bvuepress dev\b/,
    outcome: async project => site(`${folderOfScript(project, 'vuepress')}.vuepress/dist`, false),
  },
  {
    name: 'Eleventy',
    packages: ['@11ty/eleventy'],
    build: 'eleventy',
    development: /\beleventy\b.*--(?:serve|watch)\b/,
    async outcome({ json, config }) {
      const text = await config('.eleventy.js', ...configOf('eleventy.config'))
      const option = /--output[= ]['"]?([\w./-]+)/.exec(json.scripts['build'] ?? '')?.[1]
      return site(option?.replace(/^\.\/|\/+$/g, '') ?? setting(text, 'output') ?? '_site', false)
    },
  },
  {
    name: 'Gatsby',
    packages: ['gatsby'],
    build: 'gatsby build',
    development: /\bgatsby (?:develop|serve)\b/,
    outcome: async () => site('public', false),
  },
  {
    name: 'Hexo',
    packages: ['hexo'],
    build: 'hexo generate',
    development: /\bhexo (?:server|s)\b/,
    outcome: async () => site('public', false),
  },
  {
    name: 'Angular',
    packages: ['@angular/cli', '@angular-devkit/build-angular', '@angular/build'],
    build: 'ng build',
    development: /\bng (?:serve|s|run)\b/,
    outcome: async ({ config }) => angular(await config('angular.json')),
  },
  {
    name: 'Expo',
    packages: ['expo'],
    recognised: ({ json }) => json.dependencies['react-dom'] !== undefined,
    build: 'expo export --platform web',
    development: /\bexpo (?:start|run)\b/,
    async outcome({ config }) {
      const output = setting((await config('app.json')).replaceAll('"output"', 'output'), 'output')
      return output === 'server' ? undefined : site('dist', output !== 'static')
    },
  },
  {
    name: 'Create React App',
    packages: ['react-scripts'],
    build: 'react-scripts build',
    // With CI set it fails for every warning, as it does not where it was written.
    buildEnvironment: { CI: 'false' },
    development: /\breact-scripts start\b/,
    outcome: async () => site('build', true),
  },
  {
    name: 'Vue CLI',
    packages: ['@vue/cli-service'],
    build: 'vue-cli-service build',
    development: /\bvue-cli-service serve\b/,
    outcome: async ({ config }) => site(setting(await config('vue.config.js'), 'outputDir') ?? 'dist', true),
  },
  {
    name: 'Ember',
    packages: ['ember-cli'],
    build: 'ember build --environment=production',
    development: /\bember s(?:erve)?\b/,
    outcome: async () => site('dist', true),
  },
  {
    name: 'Rsbuild',
    packages: ['@rsbuild/core'],
    build: 'rsbuild build',
    development: /\brsbuild (?:dev|preview)\b/,
    outcome: async () => site('dist', true),
  },
  {
    name: 'Vite',
    packages: ['vite'],
    recognised: ({ has }) => has('index.html'),
    build: 'vite build',
    development: /\bvite(?: (?:dev|serve|preview))?(?: --?\S+(?: [\w.]+)?)*$/,
    async outcome({ config, json }) {
      const option = /--outDir[= ]['"]?([\w./-]+)/.exec(json.scripts['build'] ?? '')?.[1]
      const text = await config(...configOf('vite.config'))
      return site(option?.replace(/^\.\/|\/+$/g, '') ?? setting(text, 'outDir') ?? 'dist', true)
    },
  },
  {
    name: 'Parcel',
    packages: ['parcel', 'parcel-bundler'],
    development: /\bparcel(?! build)\b/,
    async outcome({ json }) {
      const build = json.scripts['build'] ?? ''
      if (!/\bparcel\b/.test(build)) return undefined
      return site(/--dist-dir[= ]['"]?([\w./-]+)/.exec(build)?.[1]?.replace(/^\.\/|\/+$/g, '') ?? 'dist', true)
    },
  },
  {
    name: 'webpack',
    packages: ['html-webpack-plugin'],
    development: /\bwebpack(?:-dev-server| serve)\b/,
    outcome: async ({ json }) => (/\bwebpack\b/.test(json.scripts['build'] ?? '') ? site('dist', true) : undefined),
  },
]

/** `vitepress build docs`: the folder, with a slash. */
function folderOfScript({ json }: FrameworkProject, program: string): string {
  const script = buildScriptOf(json, program)
  const folder = new RegExp(`\\b${program} build\\s+(?!-)([\\w./-]+)`)
    .exec(script ?? '')?.[1]
    ?.replace(/^\.\/|\/+$/g, '')
  return folder === undefined || folder === '.' || folder === '' ? '' : `${folder}/`
}

/** The script that builds: `build`, or one such as `docs:build` that calls the program. */
export function buildScriptOf(json: PackageJson, program: string): string | undefined {
  const calls = (script: string | undefined) => script?.includes(`${program} build`) === true
  const { build } = json.scripts
  return calls(build) ? build : (Object.values(json.scripts).find(calls) ?? build)
}

/** angular.json names the folder; the builders since Angular 17 put what browsers get into `browser/`. */
function angular(text: string): Server | Site | undefined {
  let json: AngularJson
  try {
    json = JSON.parse(text) as AngularJson
  } catch {
    return undefined // ng tells what is wrong with it when it builds.
  }
  const [first] = Object.entries(json.projects ?? {}).filter(([, project]) => project.projectType !== 'library')
  const name = json.defaultProject ?? first?.[0]
  const target = name === undefined ? undefined : json.projects?.[name]?.architect?.build
  if (name === undefined || target === undefined) return undefined
  const { outputPath, ssr, outputMode, server: entry } = target.options ?? {}
  const base = typeof outputPath === 'string' ? outputPath : (outputPath?.base ?? `dist/${name}`)
  const folder = base.replace(/^\.?\/|\/+$/g, '')
  if (target.builder?.endsWith(':application') !== true) return site(folder, true)
  const browser = typeof outputPath === 'object' ? (outputPath.browser ?? 'browser') : 'browser'
  const renders = ssr !== undefined && ssr !== false && entry !== undefined && outputMode !== 'static'
  return renders
    ? server(`node ${folder}/server/server.mjs`)
    : site(browser === '' ? folder : `${folder}/${browser}`, true)
}

interface AngularJson {
  defaultProject?: string
  projects?: Record<
    string,
    {
      projectType?: string
      architect?: {
        build?: {
          builder?: string
          options?: {
            outputPath?: string | { base?: string; browser?: string }
            ssr?: unknown
            server?: unknown
            outputMode?: string
          }
        }
      }
    }
  >
}
