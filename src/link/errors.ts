/** A neighbour did not take in a single byte for so long that it was disconnected */
export class SlowPeerError extends Error {
  static name = 'SlowPeerError'
  name = 'SlowPeerError'
}

/** A channel ended before it was of use, or another one has taken its place */
export class ChannelEndedError extends Error {
  static name = 'ChannelEndedError'
  name = 'ChannelEndedError'
}

/** A neighbour broke the protocol: it is let be for a while */
export class ProtocolFaultError extends Error {
  static name = 'ProtocolFaultError'
  name = 'ProtocolFaultError'
}
