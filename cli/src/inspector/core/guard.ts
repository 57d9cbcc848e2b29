/**
 * The inspector answers programs of this machine, and pages that it has served itself. A page of
 * another origin may make a browser send requests here, by an address or under a name of its own that leads here (DNS
 * rebinding). The browser says so in headers that no page can change.
 */

export interface Asked {
  method?: string
  host?: string
  origin?: string
  /** Of Sec-Fetch-Site */
  site?: string
}

export interface Refusal {
  status: number
  why: string
}

const NAMES = ['127.0.0.1', 'localhost', '[::1]']

/** 'none': somebody typed the address, or opened a bookmark */
const SITES = ['same-origin', 'none']

const METHODS = ['GET', 'HEAD']

/** Undefined: it is let in */
export function refusalOf ({ method = '', host, origin, site }: Asked, port: number): Refusal | undefined {
  // browsers leave out the port that a scheme has anyway
  const hosts = NAMES.flatMap(name => port === 80 ? [name, `${name}:80`] : [`${name}:${port}`])

  if (host == null || !hosts.includes(host.toLowerCase())) {
    return { status: 403, why: `ask for http://127.0.0.1:${port}/: nobody is let in under another name` }
  }
  if (origin != null && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
    return { status: 403, why: 'pages of another origin read nothing here' }
  }
  if (site != null && !SITES.includes(site)) {
    return { status: 403, why: 'pages of another site read nothing here: type the address, or open a bookmark' }
  }
  if (!METHODS.includes(method)) {
    return { status: 405, why: 'GET and HEAD: nothing can be changed here' }
  }
}

/** Of every answer */
export const HEADERS: Record<string, string> = {
  'content-security-policy': [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
    // text of peers cannot become markup, whatever mistake a script makes
    "require-trusted-types-for 'script'", "trusted-types 'none'"
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cache-control': 'no-store'
}
