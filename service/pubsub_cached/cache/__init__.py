"""What a read may say: the cache between the bus and the services.

=================  ====================================================================================================
accounts           account accounts holding elsewhere
nodes              nodes all_nodes transitions facts policy privacy proofs negatives refusals
reads              reads node_reads options completeness place cursor pending replies pages shelf
passed through     pass_through service_reads
synchronisation    sync running turnstile rounds fetch ahead rungs lacking finish archives subscriptions unsubscribing
events             arrivals events watches overwrites max_items item_expire
revalidation       revalidation backlog distrust pushes silence jitter
analysers          analysing recognition parsing reanalysis agents agent coroutine deferred function
searches, views    search views view view_source window export output
what is told       changes jobs
writing            writing payloads subscribing discovery outbox sending
looking after it   removal upkeep
put together       house
=================  ====================================================================================================
"""
