import { expect } from 'aegir/chai'
import { eventually, meet, range, stopPeers } from '../fixtures/directsub.ts'
import { agreed, createSessionNode, heard, say, stateOf } from '../fixtures/sessions.ts'
import type { SessionNode } from '../fixtures/sessions.ts'

describe('sessions between nodes over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  /** A line: a, a relay, b */
  async function relayed (): Promise<[SessionNode, SessionNode, SessionNode]> {
    const nodes = await Promise.all(range(3).map(async () => createSessionNode()))
    const [a, relay, b] = nodes
    await meet(a, relay)
    await meet(b, relay)
    return [a, relay, b]
  }

  it('send() resolves when a neighbour has the message, both ways', async () => {
    const [a, b] = await Promise.all([createSessionNode(), createSessionNode()])
    const [atA, atB] = [heard(a), heard(b)]
    await meet(a, b)
    await say(a, b, 'hello')
    expect(atB).to.deep.equal(['hello'])
    await say(b, a, 'hello to you')
    expect(atA).to.deep.equal(['hello to you'])
    await agreed(a, b)
    expect(stateOf(a, b)).to.include({ epoch: 1, role: 'idle', isConnected: true, canSeal: true })
  })

  it('send() reaches a peer behind a relay', async () => {
    const [a, , b] = await relayed()
    const atB = heard(b)
    await Promise.all(range(100).map(async i => say(a, b, `${i}`)))
    expect(atB).to.deep.equal(range(100).map(String))
    await eventually('the relay has a session', () => b.services.sessions.diagnostics().peers.length === 1)
  })
})
