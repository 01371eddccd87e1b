export const dynamic = 'force-dynamic'

export default function Page() {
  return <h1>Hello from Next.js, rendered in {process.env.NODE_ENV}</h1>
}
