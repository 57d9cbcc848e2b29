import { once } from 'node:events'
import { createServer } from 'node:http'
import { prometheusMetrics } from '@libp2p/prometheus-metrics'
import { register } from 'prom-client'
import { FailedError, oneLine } from './errors.ts'
import type { Metrics } from '@libp2p/interface'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const HOST = '127.0.0.1'

export interface MetricsServer {
  url: string
  /** For `createLibp2p({ metrics })` */
  component (components: any): Metrics
  close (): void
}

/** What a node measures, for Prometheus on this machine */
export async function serveMetrics (port: number): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(request, response).catch(err => { response.writeHead(500).end(`${oneLine(err)}\n`) })
  })
  server.listen(port, HOST)

  try {
    await once(server, 'listening')
  } catch (err: any) {
    throw new FailedError(`Metrics cannot be served on port ${port}: ` +
      `end who listens there, or take another one with --metrics (${oneLine(err)})`)
  }

  return {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}/metrics`,
    component: prometheusMetrics(),
    close: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}

async function answer (
  { method, url, headers: { host = '' } }: IncomingMessage, response: ServerResponse
): Promise<void> {
  // a page that a browser got from elsewhere may have led it here under another name
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(host)) {
    response.writeHead(403).end('ask for 127.0.0.1 or localhost\n')
  } else if (method !== 'GET' || url !== '/metrics') {
    response.writeHead(404).end('GET /metrics\n')
  } else {
    response.writeHead(200, { 'content-type': register.contentType }).end(await register.metrics())
  }
}
