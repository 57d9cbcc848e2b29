import { gossipsub } from '@libp2p/gossipsub'
import { directSub } from '../../src/index.ts'
import { pubsubContract } from './pubsub.ts'

pubsubContract('directSub', () => directSub())

pubsubContract('gossipsub', () => gossipsub({
  emitSelf: false,
  allowPublishToZeroTopicPeers: true
}), {
  knownFailures: {
    'forgets everything when it is stopped': 'it says nothing when it stops, the others take it for a subscriber as long as the connection lives',
    'works again on the same connections after a stop and a start': 'it only hears of connections that are made after it started',
    'delivers all that is published in the tick after a subscribe: ready means delivered': 'its subscribe() does not tell when the others know, what they publish until then is lost'
  }
})
