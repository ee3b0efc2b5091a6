"""Models from S3 and from what speaks like it: general purpose and directory buckets, with the pod's own credentials.

source      lists, proves, hands out readers
client      one signed request and its answer, tried again while planning
reader      ranges of objects for one thread
address     which host and path a bucket has; ARNs
signature   SigV4, also of S3 Express
access      credentials as long as they last: credentials, broker, web_identity, session; the slot that workers read
route       names, addresses, proxy, TLS; connection: HTTP/1.1 on it
answer, markup, listing, refusal   what comes back, and what it means
"""
