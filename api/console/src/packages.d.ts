/** The packages that the console is built of, as package-lock.json has them (vite.config.ts). */
declare module 'virtual:packages' {
  const packages: { name: string; version: string; licence: string; integrity: string }[]
  export default packages
}
