import { once } from 'node:events'
import { createServer } from 'node:http'
import { isIPv6 } from 'node:net'
import { register } from 'prom-client'
import { FailedError, oneLine } from './errors.ts'
import type { Bound } from './flags.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export { prometheusMetrics } from '@libp2p/prometheus-metrics'

export interface MetricsServer {
  url: string
  close (): void
}

const isLoopback = (host: string): boolean => host.startsWith('127.') || host === '::1'

/** What a node measures, for Prometheus */
export async function serveMetrics ({ host, port }: Bound): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(request, response, isLoopback(host)).catch(err => { response.writeHead(500).end(`${oneLine(err)}\n`) })
  })
  server.listen(port, host)

  try {
    await once(server, 'listening')
  } catch (err: any) {
    throw new FailedError(`Metrics cannot be served on port ${port}: ` +
      `end who listens there, or take another one with --metrics (${oneLine(err)})`)
  }

  return {
    url: `http://${isIPv6(host) ? `[${host}]` : host}:${(server.address() as AddressInfo).port}/metrics`,
    close: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}

async function answer (
  { method, url, headers: { host = '' } }: IncomingMessage, response: ServerResponse, isLocal: boolean
): Promise<void> {
  // a page that a browser got from elsewhere may have led it here under another name
  if (isLocal && !/^(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?$/.test(host)) {
    response.writeHead(403).end('ask for 127.0.0.1 or localhost\n')
  } else if (method !== 'GET' || url !== '/metrics') {
    response.writeHead(404).end('GET /metrics\n')
  } else {
    response.writeHead(200, { 'content-type': register.contentType }).end(await register.metrics())
  }
}
