/**
 * @packageDocumentation
 *
 * A replicated log for libp2p nodes, and the services that it builds on: DirectSub, a pubsub that knows which peer
 * listens to which topic and delivers to exactly those peers, over relays too; sessions; transfers.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub()
 *   }
 * })
 *
 * await node.services.pubsub.subscribe('news')
 * ```
 */

import './runtime/supported-node.ts'
export { stayConnected } from './connect/index.ts'
export { openLog } from './log/index.ts'
export { EntryId, RingId } from './log/entry-id.ts'
export {
  AppendRefusedError, ArchiveCutError, FalseProofError, FutureEntryError, InvalidArchiveError, InvalidContentError,
  InvalidEntryIdError, InvalidLogIdError,
  InvalidMarkError, LogClosedError, StoreFailedError, StoreInUseError, StoreVersionError, TooManyAppendsError,
  WriteFailedError
} from './log/errors.ts'
export { directSub } from './pubsub/index.ts'
export {
  InvalidTopicError, NotDeliveredError, PayloadTooLargeError, TooManyTopicsError, TopicNotAllowedError
} from './pubsub/errors.ts'
export { coverageOf, keptRanges, shareOf, thinnest as copiesOf } from './replication/core/placement.ts'
export { RING } from './replication/core/ring.ts'
export { EntryTooLargeError, NoReplicatorError, NotReplicatedError } from './replication/errors.ts'
export { sharedLogs } from './replication/index.ts'
export { InvalidOptionsError } from './runtime/errors.ts'
export { mailboxes } from './runtime/mailbox.ts'
export {
  ProtocolHandledError, QueueFullError, RekeyFailedError, RekeyTimeoutError, SessionClosedError, TooManyRekeysError,
  TooManySessionsError
} from './session/errors.ts'
export { sessions } from './session/index.ts'
export { MAX_SIZE as MAX_TRANSFER_SIZE, TOPIC as TRANSFER_TOPIC } from './transfer/constants.ts'
export {
  OfferOverError, SourceFailedError, TooManyTransfersError, TransferFailedError, TransferRejectedError
} from './transfer/errors.ts'
export { transfers } from './transfer/index.ts'
export type { PeerDiagnostics, StayConnected, StayConnectedComponents, StayConnectedInit } from './connect/index.ts'
export type {
  ChangeReason, DirectSub, DirectSubComponents, DirectSubDiagnostics, DirectSubEvents, DirectSubInit, FailureReason,
  Message, PublishOptions, PublishResult, RequestOptions, SignedMessage, SubscriptionChange, TopicValidator,
  UnsignedMessage, UnsubscribeOptions, WaitOptions
} from './pubsub/index.ts'
export type {
  AppendOptions as LogAppendOptions, Bytes, EntriesOptions, Entry, ExportOptions, Imported, JoinOutcome, Log,
  LogDiagnostics, LogEvents, LogInit,
  RingRange, TrimOptions
} from './log/index.ts'
export type {
  AppendOptions, LeaveReason, OpenOptions, Replicate, Replicator, ReplicatorDetail, Segment, SharedLog,
  SharedLogDiagnostics, SharedLogEvents, SharedLogs, SharedLogsComponents, SharedLogsInit, Shelf, SyncReport,
  WaitForReplicatorsOptions
} from './replication/index.ts'
export type { Member } from './replication/core/placement.ts'
export type { MailboxStatus } from './runtime/mailbox.ts'
export type {
  CloseOptions, Once, RekeyOptions, ResyncReason, SendOptions, SessionEvents, SessionHandler, SessionMessage,
  SessionMode,
  Sessions, SessionsComponents, SessionsDiagnostics, SessionsInit, SessionState
} from './session/index.ts'
export type {
  AcceptOptions, Chunks, IncomingTransfer, Offer, OfferHandler, OutboundTransfer, SendOptions as TransferOptions,
  TransferEvents, TransferProgress, Transfers, TransfersComponents, TransfersDiagnostics, TransfersInit, TransferSource
} from './transfer/index.ts'
export type { TransferFailure } from './transfer/errors.ts'
