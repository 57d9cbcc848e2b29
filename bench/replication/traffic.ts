import { decodeMessage } from '../../src/replication/wire.ts'
import type { DirectSub } from '../../src/index.ts'
import type { ConnectionProtector, MessageStream } from '@libp2p/interface'

/** What a node has said and heard */
export interface Said {
  /** Bytes that it sent on all connections: entries, encryption, other protocols, everything */
  sent: number
  /** Questions that it asked. A comparison asks one after the other: each is a round trip */
  questions: number
  /** Bytes of those questions and of the answers to them, without the entries in these */
  compared: number
}

/**
 * Counts what a node says and hears, from outside. It takes time: only for rounds in which something is to be counted
 */
export class Traffic {
  #said: Said = nothing()

  take (): Said {
    const said = this.#said
    this.#said = nothing()
    return said
  }

  /** Sees each connection before it is encrypted, and leaves it as it is */
  readonly protector = (): ConnectionProtector => ({
    protect: async (connection: MessageStream) => {
      const send = connection.send.bind(connection)
      connection.send = data => {
        this.#said.sent += data.byteLength
        return send(data)
      }
      return connection
    }
  })

  /** What a service finds in place of its components: their pubsub is counted */
  components <C extends object> (components: C): C {
    return new Proxy(components, {
      get: (target: any, name) => name === 'pubsub' ? this.#counted(target.pubsub) : target[name]
    })
  }

  #counted (pubsub: DirectSub): DirectSub {
    pubsub.addEventListener('message', ({ detail }) => { this.#heard(detail.data) })

    return new Proxy(pubsub, {
      get: (target: any, name) => {
        if (name !== 'publish') {
          return typeof target[name] === 'function' ? target[name].bind(target) : target[name]
        }

        return async (topic: string, data: Uint8Array, options: object) => {
          this.#says(data)
          return target.publish(topic, data, options)
        }
      }
    })
  }

  #says (data: Uint8Array): void {
    if (decodeMessage(data).type === 'question') {
      this.#said.questions++
      this.#said.compared += data.byteLength
    }
  }

  #heard (data: Uint8Array): void {
    const message = decodeMessage(data)

    if (message.type === 'answer') {
      const entries = 'entries' in message.answer ? message.answer.entries : []
      this.#said.compared += data.byteLength - entries.reduce((sum, { bytes, proof }) => sum + bytes.byteLength + proof.byteLength, 0)
    }
  }
}

function nothing (): Said {
  return { sent: 0, questions: 0, compared: 0 }
}
