# 判断の根拠と、判断が覆る条件。

## SYNとその行方

evidence-syns-never-completed = パケットキャプチャにあるSYN { $syns }件のうち、完了したのは{ $completed }件です（{ $share }が未完了）。
evidence-syns-completed = パケットキャプチャにあるSYN { $syns }件のうち、{ $completed }件（{ $share }）が完了しています。正規のクライアントです。
evidence-syn-rate-peak = SYNは最大{ $rate }でした（{ $at }）。
evidence-syns-above-completions = { $at }に、SYNは{ $syns }、完了した接続は{ $completed }でした。
evidence-cookies-not-returned = 送ったSYNクッキー{ $sent }個のうち、返ってきたのは{ $returned }個です（{ $share }は応答なし）。
evidence-cookies-returned = 送ったSYNクッキー{ $sent }個のうち、{ $returned }個（{ $share }）が返ってきました。正規のクライアントです。
evidence-cookies-not-returned-since-boot = 起動以来、SYNクッキーを{ $sent }個送り、{ $returned }個が返ってきました。
evidence-completions-peak = 完了した接続は最大{ $rate }でした（{ $at }）。
evidence-completions-rose = 完了した接続が、通常の{ $usual }から{ $peak }に増えました（{ $at }）。
evidence-completions-flat = 完了した接続は増えていません（通常{ $usual }、{ $at }に{ $then }）。
evidence-segments-rose = 受信したTCPセグメントが、通常の{ $usual }から{ $peak }に増えました（{ $at }）。
evidence-segments-explained = 受信したTCPセグメントは{ $segments }個、完了した接続は{ $completed }件で、接続に見合った量です。
evidence-small-packets = パケットの平均サイズは受信{ $received }、送信{ $sent }で、SYNだけのパケットとほぼ同じです。
evidence-syn-acks-sent-again = SYN-ACKの再送が{ $rate }ありました。いずれも応答のない相手です。
evidence-syn-acks-sent-again-captured = パケットキャプチャに、応答のない相手へのSYN-ACKの再送が{ $count }件あります。
evidence-half-open = 半開き接続が{ $count }件あります（送信元アドレス{ $sources }個）。
evidence-half-open-unanswered = 半開き接続{ $half_open }件のうち{ $count }件が、SYN-ACKに1秒以内に応答せず、SYN-ACKが再送されました。
evidence-half-open-peak = 半開き接続が最大{ $count }件ありました（{ $at }）。
evidence-sources-scattered = 送信元は分散しています。調べた{ $seen }件に{ $sources }個の送信元アドレスがあり、最大のネットワークでも{ $largest }です。
evidence-sources-concentrated = { $networks }個のネットワークが全体の{ $share }を占めています（最大は{ $largest }）。
evidence-written-alike = まったく同じ形のSYNが{ $count }件あり（オプション{ $options }）、完了したのは{ $completed }件です。一つのプログラムが作ったものです。
evidence-syn-queue-full = SYN { $count }件が、SYNキューが満杯のときに届きました。
evidence-syns-dropped = キューが満杯で、クッキーも無効だったため、SYNが{ $count }件破棄されました。
evidence-flooding-message = { $at }に、カーネルが「possible SYN flooding on port { $port }」と出力しました。ソケットごとに一度だけの出力で、正規のアクセス集中でも出ます。
evidence-flooding-message-undated = カーネルが「possible SYN flooding on port { $port }」と出力しましたが、時刻は不明です。ソケットごとに一度だけの出力で、正規のアクセス集中でも出ます。
evidence-requests-came = 完了した接続{ $completed }件に対し、リクエストが{ $requests }件届いています。
evidence-requests-rose = 接続とともにリクエストも増えました。毎分{ $usual }件から{ $peak }件になり（{ $at }）、クライアントは{ $clients }個です。
evidence-requests-usual = リクエストは通常どおりです（通常毎分{ $usual }件、最大{ $peak }件）。
evidence-round-trips = クライアントとの往復遅延は中央値{ $median }で、1割は{ $slow }を超えます。

## キューとワーカー

evidence-queue-takes = ポート{ $port }に入る半開き接続は{ $fits }件です。往復遅延{ $round_trip }では、受け付けられる新規接続は{ $rate }までです。
evidence-accept-queue-full = ポート{ $port }のacceptキューが満杯です（待ち{ $waiting }件、バックログ{ $backlog }）。
evidence-accept-overflows = acceptキューが満杯のため、ハンドシェイクを終えた接続{ $count }件が受け付けられませんでした（最大{ $peak }、{ $at }）。
evidence-accept-queue-peak = acceptを待つ接続が最大{ $count }件ありました（{ $at }）。
evidence-workers-limit-message = { $server }が、全ワーカーが使用中であると{ $count }回記録しています（最初は{ $at }）。
evidence-workers-limit-message-undated = { $server }が、全ワーカーが使用中であると{ $count }回記録しています。
evidence-workers-in-use = { $server }のワーカーは{ $workers }個です（設定上の上限{ $limit }）。
evidence-workers-configured = { $server }のワーカー数の上限は{ $workers }です（{ $place }）。
evidence-workers-default = { $server }のワーカー数の上限は{ $workers }です（既定値）。
evidence-worker-memory = { $server }のワーカー1個のメモリ使用量は{ $each }です（実測）。
evidence-worker-memory-killed = { $server }のワーカー1個は、カーネルに強制終了されたとき{ $each }のメモリを使っていました。
evidence-worker-memory-reckoned = { $server }のワーカー1個のメモリ使用量は約{ $each }です（タスクが{ $tasks }個増えたとき、メモリが{ $memory }減ったことから算出）。
evidence-workers-do-not-fit = { $server }の計算: ワーカー{ $processes }個 × { $each } = { $needed }。搭載メモリは{ $memory }です。
evidence-workers-that-fit = ワーカーに回せるメモリは{ $spare }で、{ $processes }個分です。

## メモリと負荷

evidence-memory-low = { $at }に、空きメモリが{ $memory }中{ $available }まで減りました。
evidence-memory-least = { $at }に、空きメモリが{ $available }まで減りました。
evidence-swap-used = スワップの使用量が最大{ $used }になりました（{ $at }）。
evidence-swap-traffic = スワップイン・アウトが最大{ $pages }ページありました（{ $at }）。
evidence-memory-pressure = { $at }には、時間の{ $share }でタスクがメモリを待っていました。
evidence-memory-committed = { $at }に、プロセスへ約束したメモリが、メモリとスワップの合計の{ $share }に達しました。
evidence-out-of-memory-kills = メモリ不足のため、カーネルが`{ $process }`を{ $count }回強制終了しました。
evidence-out-of-memory-counted = メモリ不足のため、プロセスが{ $count }個強制終了されました。
evidence-load = { $at }に、CPU { $cpus }個に対してロードアベレージが{ $load }まで上がりました。
evidence-blocked-tasks = ディスクを待つタスクが最大{ $count }個ありました（{ $at }）。

## サーバーの記録

evidence-backend-failed = { $server }のバックエンドが、{ $count }回応答しないか、接続を拒否しました。
evidence-answers-overloaded = リクエスト{ $requests }件のうち{ $count }件が、502、503、504で応答されています。
evidence-established = 確立済みの接続が{ $count }件あります（送信元アドレス{ $sources }個）。
evidence-established-peak = 確立済みの接続が、通常の{ $usual }件から{ $peak }件に増えました（{ $at }）。
evidence-silent-connections = { $count }件の接続（{ $share }）では、ハンドシェイク以降1バイトも届いていません。
evidence-few-requests = 接続{ $connections }件に対し、届いたリクエストは{ $requests }件だけです。
evidence-request-timeouts = リクエスト{ $requests }件のうち{ $count }件が、時間内に完了しませんでした（ステータス408）。
evidence-clients-too-slow = { $server }が、遅すぎるクライアントとの接続を{ $count }件打ち切りました。
evidence-turned-away = { $service }が、何もしない、または接続が多すぎるクライアントを{ $count }件切断しました。
evidence-stalled-connections = { $count }件の接続（{ $share }）で、クライアントがデータを受信しないまま送信待ちになっています。
evidence-zero-windows = パケットキャプチャのセグメント{ $segments }個のうち{ $count }個で、クライアントが受信を止めています（ウィンドウ0）。

## パケットとファイアウォール

evidence-conntrack-message = カーネルが、conntrackテーブルの満杯を{ $count }回記録しています。
evidence-conntrack-filled = conntrackのエントリーは{ $entries }件です（上限{ $max }）。
evidence-conntrack-drops = conntrackテーブルが満杯のため、パケットが{ $count }個破棄されました。
evidence-softirq-busiest = { $at }に、{ $cpus }個のCPUのうち1個が、時間の{ $share }をパケット受信に費やしていました。
evidence-softirq-all = { $at }に、全CPUの時間の{ $share }がパケット受信に費やされていました。
evidence-softnet-drops = CPUの入力キューが満杯のため、パケットが{ $rate }破棄されました（{ $at }）。
evidence-interface-overruns = NICの受信リングに入りきらないパケットが最大{ $rate }ありました（{ $at }）。
evidence-ring-short = { $interface }の受信リングは{ $ring }です（最大{ $max }まで増やせます）。
evidence-one-receive-queue = { $interface }の受信キューは1本だけで、{ $cpus }個のCPUのうち1個がすべて受信しています。
evidence-interface-use = 最も忙しいインターフェイスの帯域使用率は{ $share }でした（{ $at }）。
evidence-packets-peak = 受信パケットは最大{ $rate }でした（{ $at }）。
evidence-syn-acks-unasked = パケットキャプチャのパケット{ $packets }個のうち{ $count }個は、こちらがSYNを送っていないSYN-ACKです。
evidence-resets-sent = { $at }に、受信セグメント{ $segments }に対してRSTを{ $resets }送信していました。
evidence-from-service-ports = 半開き接続{ $half_open }件のうち{ $count }件は、クライアントが使わないサーバー用ポート（80、443、53など）から来ています。
evidence-limit-rule = { $program }のチェーン{ $chain }に、新規接続を{ $rate }に制限するルールがあります: `{ $rule }`
evidence-limit-met = このルールに該当したパケットは{ $packets }個です。
evidence-limit-below-need = ルールの上限は{ $limit }で、届いた接続は{ $need }でした。
evidence-syns-unanswered = キューに空きがあったのに、パケットキャプチャのSYN { $syns }件のうち{ $unanswered }件が応答されていません。
evidence-firewall-logged = ファイアウォールがパケットを{ $count }個記録しました（「{ $prefix }」）。

## 設定

evidence-setting = `{ $key }`は{ $value }です。
evidence-setting-without-effect = `{ $key }`は{ $value }ですが、効果がありません（{ $because }）。
evidence-amplification = SYN 1個につき、詐称されたアドレスへパケットが{ $packets }個送られ、半開き接続が{ $stays }残ります。
evidence-cookies-asked-not-sent = キューの満杯でクッキーが必要になったのは{ $asked }回、送られたのは{ $sent }回です。
evidence-cookies-failed = クッキーとして正しくないACKが{ $failed }個ありました（正しいものは{ $returned }個）。

## 記録そのもの

evidence-gap = { $source }: { $span }の記録がありません（{ $reason }）。
evidence-covered = { $source }: 記録があるのは{ $span }だけです。
evidence-clock-ahead = { $source }: ほかの記録より時計が{ $ahead }ほど進んでいるようです。
evidence-clock-behind = { $source }: ほかの記録より時計が{ $behind }ほど遅れているようです。
evidence-zone-assumed = { $source }: 時刻にタイムゾーンがないため、{ $zone }とみなしました。
evidence-events-left-out = 上限を超えたため、出来事を{ $count }件省きました。

## 判断が覆る条件

refutation-completions-rose-too = SYNと同時に、完了した接続やリクエストも増えていた場合（正規のクライアントです）。
refutation-capture-shows-completions = パケットキャプチャで、これらのSYNが完了していた場合。
refutation-capture-shows-none = パケットキャプチャで、大半のSYNが完了していなかった場合（フラッドです）。
refutation-cookies-never-returned = クッキーの大半が返ってきていなかった場合（フラッドです）。
refutation-networks-are-customers = 同じネットワークから多くの接続が完了していた場合（少数のアドレスに多くの利用者がいる企業や通信事業者です）。
refutation-sources-are-scattered = 送信元が分散していた場合（ネットワークの遮断は役に立ちません）。
refutation-accept-queue-stays-empty = 同じ負荷でも、ポート{ $port }のacceptキューが空のままだった場合。
refutation-workers-idle = その時間帯に、{ $server }に空きワーカーがあった場合。
refutation-workers-smaller = { $server }のワーカーのメモリ使用量が{ $each }未満だった場合（メモリに収まります）。
refutation-another-process = ほかのプロセスがメモリを使っていた場合。
refutation-requests-come = これらの接続でリクエストが届いていた場合（ロングポーリング、WebSocket、待機中のクライアントなど）。
refutation-answers-quick = 同じような時間帯に、応答が速く返っている場合。
refutation-bad-lines = 該当するクライアントが少数で、すべて一つのネットワークの悪い回線にいた場合。
refutation-table-not-full = テーブルが上限に近づいていなかった場合。
refutation-drops-go-on = 空きがあるのに破棄が続く場合。
refutation-own-connections = このホスト自身の接続で、SYNがキャプチャとは別の経路から出ていた場合。
refutation-nat-uses-low-ports = NATの内側のクライアントが、実際にそのような送信元ポートを使っている場合。
refutation-limit-not-met = クライアントが拒否されているあいだも、ルールのカウンターが増えない場合。
refutation-set-elsewhere = サービスがコンテナや別のネットワーク名前空間で動いていて、`{ $key }`の値が異なる場合。
refutation-other-records = その時間帯の、ほかの記録。
