import { Sums } from '../runtime/sums.ts'

/** What each sum counts */
const SUMS = {
  sent_transfers: 'transfers that were begun here',
  completed_transfers: 'transfers of which the other side has taken everything',
  failed_transfers: 'transfers that ended before that',
  sent_bytes: 'bytes of payloads that the other side has taken',
  received_transfers: 'payloads that the program here has taken, verified',
  unreceived_transfers: 'offers that were not taken, and payloads that ended too early',
  received_bytes: 'bytes of payloads that the program here has taken'
}

/** What went through all transfers of a node */
export class Traffic extends Sums<keyof typeof SUMS> {
  constructor () {
    super('libp2p_sheaf_transfer', SUMS)
  }
}
