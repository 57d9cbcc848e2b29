/** A neighbour did not take in a single byte for so long that it was disconnected */
export class SlowPeerError extends Error {
  static name = 'SlowPeerError'
  name = 'SlowPeerError'
}

/** A session ended before it was of use */
export class SessionEndedError extends Error {
  static name = 'SessionEndedError'
  name = 'SessionEndedError'
}

/** A neighbour broke the protocol: it is let be for a while */
export class ProtocolFaultError extends Error {
  static name = 'ProtocolFaultError'
  name = 'ProtocolFaultError'
}
