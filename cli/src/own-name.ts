/**
 * How whoever started this starts it again: a line that is suggested works where it is read
 */
export function ownName (
  { env, url }: { env: NodeJS.ProcessEnv, url: string } = { env: process.env, url: import.meta.url }
): string {
  if (url.includes('/_npx/')) {
    // npx fetched it: there is no `sheaf` but in the package of this name
    return 'npx libp2p-sheaf-cli'
  }
  if (env.npm_command === 'exec') {
    return 'npx sheaf'
  }
  // the scripts of a clone of the repository
  return env.npm_lifecycle_event === 'start' || env.npm_lifecycle_event === 'sheaf' ? 'npm run sheaf --' : 'sheaf'
}

/** The same for `peer`, for which a clone has a shorter line */
export const ownPeer = (): string => process.env.npm_lifecycle_event === 'start' ? 'npm start --' : `${ownName()} peer`
