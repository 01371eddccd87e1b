import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StaticSite } from '@coderunner/contract'
import { Compile } from 'typebox/compile'
import { parseHeaders, parseRedirects, parseStaticfile } from './static-rules.ts'

const schema = Compile(StaticSite)

test('redirects as Netlify and Cloudflare Pages write them', () => {
  const { rules, warnings } = parseRedirects(`
# comment
/old            /new
/blog/:slug/*   /news/:slug/:splat   302!
/api/*          /api.json            200   # a rewrite
/shop id=:id    /products/:id        301
/gone           /gone.html           404
/docs/*         https://docs.example.com/:splat  308
/über           /%C3%BCber.html      200
/straße         /straße.html
`)
  assert.deepEqual(warnings, [])
  assert.deepEqual(rules, [
    { from: '/old', to: '/new', status: 301, force: false },
    { from: '/blog/:slug/*', to: '/news/:slug/:splat', status: 302, force: true },
    { from: '/api/*', to: '/api.json', status: 200, force: false },
    { from: '/shop', query: { id: ':id' }, to: '/products/:id', status: 301, force: false },
    { from: '/gone', to: '/gone.html', status: 404, force: false },
    { from: '/docs/*', to: 'https://docs.example.com/:splat', status: 308, force: false },
    { from: '/über', to: '/%C3%BCber.html', status: 200, force: false },
    { from: '/straße', to: '/stra%C3%9Fe.html', status: 301, force: false },
  ])
  assert.ok(schema.Check({ files: [], indexFallback: false, redirects: rules }))
})

const refusedRedirects: [string, RegExp][] = [
  ['/api/* https://api.example.com/:splat 200', /line 1: requests are not passed on to other hosts/],
  ['/api/* //api.example.com/:splat 200!', /not passed on/],
  ['https://old.example.com/* /x', /a whole host name/],
  ['/x', /no target/],
  ['/x javascript:alert(1)', /must begin with/],
  ['/x /y 418', /418 is not offered/],
  ['/x /y soon', /"soon" is no status/],
  ['/x /y 301 Country=de', /conditions \(Country=de\)/],
  ['/*/*/x /y', /one \* only/],
  ['/%2A/* /y', /one \* only/],
  ['/:a-:b /y', /whole part of the path/],
  [`/${'x'.repeat(300)} /y`, /200 characters/],
  [`/x /${'y'.repeat(300)}`, /200 characters/],
]
for (const [line, problem] of refusedRedirects)
  test(`refuses ${line.slice(0, 60)}`, () => {
    const { rules, warnings } = parseRedirects(line)
    assert.deepEqual(rules, [])
    assert.match(warnings.join('\n'), problem)
  })

test('warnings name the line and are not endless; rules are counted', () => {
  const { warnings } = parseRedirects('/a /b\n\n# x\n/x\n')
  assert.deepEqual(warnings, ['_redirects, line 4: there is no target.'])
  const many = parseRedirects(Array.from({ length: 1100 }, (_, n) => `/${n} /x`).join('\n'))
  assert.equal(many.rules.length, 1000)
  assert.equal(many.warnings.length, 21)
  assert.match(many.warnings[0] ?? '', /line 1001/)
})

test('headers by path, with those of the server and of the dashboard left out', () => {
  const { rules, warnings } = parseHeaders(
    [
      '/*',
      '  X-Frame-Options: DENY',
      '  Content-Security-Policy: default-src https: # not a comment',
      '  ! X-Robots-Tag',
      '/secret/*',
      '\tBasic-Auth: bob:secret',
      '  Set-Cookie: a=b',
      '  Set-Cookie: coderunner=x',
      '  set-cookie: =__Host-coderunner=x',
      '  Transfer-Encoding: chunked',
      '  X Bad: 1',
      '  X-Bad: a\u0001b',
      '  X-Empty:',
      'https://example.com/*',
      '  X-Skipped: 1',
      'nowhere',
    ].join('\n'),
  )
  assert.deepEqual(rules, [
    {
      for: '/*',
      headers: [
        ['X-Frame-Options', 'DENY'],
        ['Content-Security-Policy', 'default-src https: # not a comment'],
        ['X-Robots-Tag', ''],
      ],
    },
    { for: '/secret/*', headers: [['Set-Cookie', 'a=b']] },
  ])
  assert.ok(schema.Check({ files: [], indexFallback: false, headers: rules }))
  assert.deepEqual(
    warnings.map(warning => /line (\d+)/.exec(warning)?.[1]),
    ['6', '8', '9', '10', '11', '12', '13', '14', '16'],
  )
  assert.match(parseHeaders('  X-A: 1').warnings[0] ?? '', /before any path/)
})

test('a Staticfile', () => {
  const { rules, warnings } = parseStaticfile(
    '---\nroot: ./dist/\npushstate: enabled\nforce_https: true\nssi: enabled\n',
  )
  assert.deepEqual(rules, { root: 'dist', indexFallback: true })
  assert.deepEqual(
    warnings.map(warning => warning.slice(0, 30)),
    ['Staticfile, line 4: force_http', 'Staticfile, line 5: "ssi" is n'],
  )
  assert.deepEqual(parseStaticfile('root: ../x').rules, {})
})
