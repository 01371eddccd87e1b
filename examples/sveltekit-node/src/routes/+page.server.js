export const load = () => ({ where: 'the server' })
