import assert from 'node:assert/strict'
import { test } from 'node:test'
import { analyzeProject } from './analyze-project.ts'
import { projectFiles } from './project-files.ts'
import { publishedVersions } from './test-versions.ts'

type Files = Record<string, string>

async function analyze(json: object, files: Files = {}) {
  const all: Files = { 'package.json': JSON.stringify(json), 'package-lock.json': '{}', ...files }
  return analyzeProject(
    projectFiles(Object.keys(all), async path => Buffer.from(all[path] ?? '')),
    {},
    publishedVersions,
  )
}

const dev = (...names: string[]) => ({ devDependencies: Object.fromEntries(names.map(name => [name, '*'])) })
const page = { 'index.html': '' }

const sites: [framework: string, json: object, files: Files, root: string, fallback: boolean, build: string][] = [
  ['Vite', { ...dev('vite'), scripts: { dev: 'vite', build: 'vite build' } }, page, 'dist', true, 'npm run build'],
  [
    'Vite',
    { ...dev('vite'), scripts: { start: 'vite --port 3000' } },
    page,
    'dist',
    true,
    'npx --no-install vite build',
  ],
  [
    'Vite',
    { ...dev('vite'), scripts: { start: 'vite preview' } },
    { ...page, 'vite.config.ts': "build: { outDir: './out/' }" },
    'out',
    true,
    'npx --no-install vite build',
  ],
  [
    'Create React App',
    { dependencies: { 'react-scripts': '5' }, scripts: { start: 'react-scripts start', build: 'react-scripts build' } },
    {},
    'build',
    true,
    'npm run build',
  ],
  ['Vue CLI', { ...dev('@vue/cli-service'), scripts: { serve: 'x', build: 'x' } }, {}, 'dist', true, 'npm run build'],
  [
    'Astro',
    { dependencies: { astro: '5' }, scripts: { start: 'astro dev', build: 'astro build' } },
    {},
    'dist',
    false,
    'npm run build',
  ],
  [
    'Next.js',
    { dependencies: { next: '15' }, scripts: { start: 'next start', build: 'next build' } },
    { 'next.config.mjs': "export default { output: 'export' }" },
    'out',
    false,
    'npm run build',
  ],
  [
    'Nuxt',
    { dependencies: { nuxt: '4' }, scripts: { build: 'nuxt generate' } },
    {},
    '.output/public',
    true,
    'npm run build',
  ],
  [
    'React Router',
    { ...dev('@react-router/dev'), scripts: { build: 'react-router build' } },
    { 'react-router.config.ts': 'export default { ssr: false }' },
    'build/client',
    true,
    'npm run build',
  ],
  [
    'SvelteKit',
    { ...dev('@sveltejs/kit', '@sveltejs/adapter-static', 'vite'), scripts: { build: 'vite build' } },
    { 'svelte.config.js': "import a from '@sveltejs/adapter-static'; a({ fallback: '200.html' })" },
    'build',
    true,
    'npm run build',
  ],
  [
    'Docusaurus',
    { dependencies: { '@docusaurus/core': '3' }, scripts: { start: 'docusaurus start', build: 'docusaurus build' } },
    {},
    'build',
    false,
    'npm run build',
  ],
  [
    'VitePress',
    { ...dev('vitepress'), scripts: { 'docs:dev': 'vitepress dev docs', 'docs:build': 'vitepress build docs' } },
    {},
    'docs/.vitepress/dist',
    false,
    'npm run docs:build',
  ],
  [
    'Eleventy',
    { ...dev('@11ty/eleventy'), scripts: { start: 'eleventy --serve' } },
    { 'eleventy.config.js': "dir: { output: 'www' }" },
    'www',
    false,
    'npx --no-install eleventy',
  ],
  [
    'Gatsby',
    { dependencies: { gatsby: '5' }, scripts: { start: 'gatsby develop', build: 'gatsby build' } },
    {},
    'public',
    false,
    'npm run build',
  ],
  ['Hexo', { dependencies: { hexo: '7' }, scripts: { build: 'hexo generate' } }, {}, 'public', false, 'npm run build'],
  [
    'Angular',
    { ...dev('@angular/cli'), scripts: { start: 'ng serve', build: 'ng build' } },
    {
      'angular.json':
        '{"projects":{"shop":{"architect":{"build":{"builder":"@angular/build:application","options":{}}}}}}',
    },
    'dist/shop/browser',
    true,
    'npm run build',
  ],
  [
    'Angular',
    { ...dev('@angular/cli'), scripts: { build: 'ng build' } },
    {
      'angular.json':
        '{"projects":{"shop":{"architect":{"build":{"builder":"@angular-devkit/build-angular:browser","options":{"outputPath":"dist/x"}}}}}}',
    },
    'dist/x',
    true,
    'npm run build',
  ],
  [
    'Expo',
    { dependencies: { expo: '54', 'react-dom': '19' }, main: 'index.js', scripts: { start: 'expo start' } },
    {},
    'dist',
    true,
    'npx --no-install expo export --platform web',
  ],
  [
    'Parcel',
    { ...dev('parcel'), scripts: { start: 'parcel src/index.html', build: 'parcel build src/index.html' } },
    {},
    'dist',
    true,
    'npm run build',
  ],
]
for (const [framework, json, files, root, indexFallback, build] of sites)
  test(`a site: ${framework} in ${root}, ${JSON.stringify(json).slice(0, 60)}`, async () => {
    const found = await analyze(json, files)
    assert.deepEqual(
      [found.runtime, found.framework, found.root, found.indexFallback, found.build, found.processes],
      ['static', framework, root, indexFallback, build, []],
    )
  })

const servers: [framework: string | undefined, json: object, files: Files, start: string, build: string | undefined][] =
  [
    [
      'Next.js',
      { dependencies: { next: '15' }, scripts: { start: 'next start', build: 'next build' } },
      {},
      'npm start',
      'npm run build',
    ],
    [
      'Next.js',
      { dependencies: { next: '15' }, scripts: { dev: 'next dev', build: 'next build' } },
      { 'next.config.js': '// output: "export"\n' },
      'node_modules/.bin/next start',
      'npm run build',
    ],
    [
      'Nuxt',
      { dependencies: { nuxt: '4' }, scripts: { build: 'nuxt build', preview: 'nuxt preview' } },
      {},
      'node .output/server/index.mjs',
      'npm run build',
    ],
    [
      'React Router',
      {
        ...dev('@react-router/dev'),
        scripts: { build: 'react-router build', start: 'react-router-serve ./build/server/index.js' },
      },
      {},
      'npm start',
      'npm run build',
    ],
    [
      'Remix',
      { ...dev('@remix-run/dev'), scripts: { build: 'remix vite:build' } },
      { 'vite.config.ts': 'remix()' },
      'node_modules/.bin/remix-serve ./build/server/index.js',
      'npm run build',
    ],
    [
      'SvelteKit',
      {
        ...dev('@sveltejs/kit', '@sveltejs/adapter-node', 'vite'),
        scripts: { build: 'vite build', preview: 'vite preview' },
      },
      { 'svelte.config.js': "from '@sveltejs/adapter-node'" },
      'node build',
      'npm run build',
    ],
    [
      'SvelteKit',
      { ...dev('@sveltejs/kit', '@sveltejs/adapter-auto', 'vite'), scripts: { build: 'vite build' } },
      { 'svelte.config.js': "from '@sveltejs/adapter-auto'" },
      'node build',
      'npm run build',
    ],
    [
      'SolidStart',
      { dependencies: { '@solidjs/start': '1' }, scripts: { start: 'vinxi start', build: 'vinxi build' } },
      {},
      'node .output/server/index.mjs',
      'npm run build',
    ],
    [
      'TanStack Start',
      {
        dependencies: { '@tanstack/react-start': '1', vite: '7', nitro: '3' },
        scripts: { build: 'vite build', start: 'node .output/server/index.mjs' },
      },
      {},
      'node .output/server/index.mjs',
      'npm run build',
    ],
    [
      'Astro',
      { dependencies: { astro: '5', '@astrojs/node': '9' }, scripts: { build: 'astro build' } },
      { 'astro.config.mjs': "import node from '@astrojs/node'" },
      'node ./dist/server/entry.mjs',
      'npm run build',
    ],
    [
      'NestJS',
      {
        dependencies: { '@nestjs/core': '11' },
        scripts: { start: 'nest start', build: 'nest build', 'start:prod': 'node dist/main' },
      },
      {},
      'node dist/main',
      'npm run build',
    ],
    [
      'NestJS',
      { dependencies: { '@nestjs/core': '11' }, scripts: { start: 'nest start', build: 'nest build' } },
      {},
      'node dist/main.js',
      'npm run build',
    ],
    [
      'Angular',
      { ...dev('@angular/cli'), scripts: { start: 'ng serve', build: 'ng build' } },
      {
        'angular.json':
          '{"projects":{"shop":{"architect":{"build":{"builder":"@angular/build:application","options":{"server":"src/main.server.ts","ssr":{"entry":"src/server.ts"},"outputMode":"server"}}}}}}',
      },
      'node dist/shop/server/server.mjs',
      'npm run build',
    ],
    [
      'Vite',
      { ...dev('vite'), dependencies: { express: '5' }, scripts: { build: 'vite build', start: 'node server.js' } },
      { ...page, 'server.js': '' },
      'node server.js',
      'npm run build',
    ],
    [
      'Create React App',
      {
        dependencies: { 'react-scripts': '5', serve: '14' },
        scripts: { build: 'react-scripts build', start: 'serve -s build' },
      },
      {},
      'npm start',
      'npm run build',
    ],
    [
      undefined,
      { dependencies: { express: '5' }, ...dev('vite', 'vitest'), scripts: { start: 'node server.js' } },
      { 'server.js': '' },
      'node server.js',
      undefined,
    ],
  ]
for (const [framework, json, files, start, build] of servers)
  test(`a server: ${framework ?? 'none'} by ${start}, ${JSON.stringify(json).slice(0, 60)}`, async () => {
    const found = await analyze(json, files)
    assert.deepEqual(
      [found.runtime, found.framework, found.processes[0]?.command, found.build],
      ['nodejs', framework, start, build],
    )
  })

test('a package.json of tools beside a page changes nothing', async () => {
  const found = await analyze(dev('prettier'), page)
  assert.deepEqual([found.runtime, found.root, found.install], ['static', '.', undefined])
})

test('pages that a build script makes are built first', async () => {
  const made = await analyze({ ...dev('tailwindcss'), scripts: { build: 'tailwindcss -i a.css -o b.css' } }, page)
  assert.deepEqual([made.runtime, made.root, made.install, made.build], ['static', '.', 'npm ci', 'npm run build'])
  const named = await analyze({ scripts: { build: 'node make.js --out-dir ./www/' } })
  assert.deepEqual([named.runtime, named.root, named.indexFallback], ['static', 'www', false])
})
