# 原因。`cause-名前`は文中と見出しで使う名詞句、`meaning-名前`は何が起きているかの説明。

cause-spoofed-flood = 送信元を詐称した分散型のSYNフラッド
meaning-spoofed-flood = 他人のアドレスをかたった接続要求（SYN）が送りつけられています。どれも完了せず、期限が切れるまでSYNキューの場所をふさぎます。アドレスは次々に変わるため、遮断しても効果はありません。

cause-concentrated-flood = 少数のネットワークからのSYNフラッド
meaning-concentrated-flood = 完了しない接続要求の大半が少数のネットワークから来ているため、遮断が有効です。ただしアドレスが詐称されている可能性もあるので、長期間の遮断は避けてください。

cause-syn-flood = SYNフラッド
meaning-syn-flood = 完了した接続よりはるかに多くの接続要求（SYN）が届いています。送信元は記録されていません。

cause-connection-flood = 接続したまま何も送らない接続フラッド
meaning-connection-flood = 実在するアドレスが接続を完了したあと、何も送ってきません。接続ごとにワーカーやファイルディスクリプターが占有されます。相手は実在を証明しているので、SYNクッキーでは防げません。

cause-slow-readers = 応答の受信が極端に遅く、ワーカーを占有するクライアント
meaning-slow-readers = リクエストを送ったあと、応答をほとんど受信しないクライアントがいます。ワーカーはその間待たされ、ほかの利用者に回りません。攻撃の場合も、回線の悪い利用者が多いだけの場合もあります。

cause-reflection-at-us = このホストを狙ったSYN-ACKリフレクション
meaning-reflection-at-us = 何者かがこのホストのアドレスをかたって他のサーバーへSYNを送り、その応答がここに届いています。キューは埋まりませんが、パケットの受信とRSTの返信に負荷がかかります。

cause-reflection-through-us = このホストを踏み台にしたSYN-ACKリフレクション
meaning-reflection-through-us = 被害者のアドレスをかたったSYNが届き、このホストの応答が被害者に向かっています。SYN-ACKを再送するほど被害が大きくなります。

cause-stray-flood = どの接続にも属さないパケットのフラッド
meaning-stray-flood = 存在しない接続宛てのパケットが届いています。キューは消費しませんが、CPU時間を使い、カーネルはRSTで応答します。

cause-memory-overcommitted = メモリに収まらない数のワーカー
meaning-memory-overcommitted = 設定どおりの上限までワーカーが起動すると、必要なメモリがこのマシンの搭載量を超えます。スワップが始まって応答が遅くなり、そのためさらにワーカーが増え、ロードアベレージが数百まで上がります。攻撃がなくても、混み合う時間帯が来るだけで起こります。

cause-memory-short = メモリ不足
meaning-memory-short = メモリが不足し、メモリを待つ処理がすべて遅くなりました。何がメモリを使っていたかは記録されていません。

cause-workers-exhausted = ワーカーの枯渇
meaning-workers-exhausted = すべてのワーカーが使用中です。新しい接続はカーネルが受け付けたあと、ワーカーが空くまでacceptキューで待たされます。

cause-slow-application = 接続の受け入れ（accept）が追いつかないアプリケーション
meaning-slow-application = ハンドシェイクは完了していますが、アプリケーションが接続を受け取らないためacceptキューが満杯になり、以降の要求をカーネルが破棄しています。クライアントからは攻撃のように見えますが、原因は内側にあります。

cause-conntrack-full = conntrackテーブルの満杯
meaning-conntrack-full = ファイアウォールが接続を記憶するテーブルに空きがありません。新しい接続は、サービスに届く前に破棄されます。

cause-burst-over-backlog = バックログを超える正規クライアントの集中
meaning-burst-over-backlog = 往復遅延時間（RTT）のあいだに、SYNキューに入りきらない数の正規クライアントが接続しました。カーネルはこれをフラッドとみなして「possible SYN flooding」と出力しますが、こうした集中に対しては誤警報です。バックログを増やせば済みます。

cause-receive-saturated = 受信処理能力を超えるパケット
meaning-receive-saturated = TCPに届く前に、NICまたは処理しきれないCPUでパケットが失われています。キューやクッキーの設定では改善しません。

cause-firewall-limit = 正規のクライアントまで締め出すファイアウォールの流量制限
meaning-firewall-limit = 相手を区別せず、1秒あたりの新規接続数を制限するルールがあります。攻撃かどうかに関係なく、制限を超えると正規のクライアントも無作為に拒否されます。

cause-cookies-off = SYNクッキーの無効化
meaning-cookies-off = SYNクッキーがないと、SYNキューが満杯になったときに全員が拒否されます。キューに空きがあるあいだ、クッキーの負荷はありません。

cause-cookies-inert = 機能していないSYNクッキー
meaning-cookies-inert = SYNクッキーは有効ですが、送られていないか、受け付けられていません。acceptキューが満杯のあいだ、カーネルはクッキーを送りません。その場合はアプリケーションを調べてください。正しく返ってこない場合は、手前にあるプロキシ、ファイアウォール、ロードバランサーを確認してください。

cause-huge-syn-backlog = 効果のない大きなtcp_max_syn_backlog
meaning-huge-syn-backlog = よく勧められる設定ですが、SYNクッキーが有効なあいだカーネルはこの値を使いません。効くのはアプリケーションのバックログとnet.core.somaxconnです。

cause-synack-retries-high = 多すぎるSYN-ACKの再送回数
meaning-synack-retries-high = 半開き接続のそれぞれに何度もSYN-ACKが再送され、接続が長く残ります。フラッドのときは詐称されたアドレスへの送信量が増え、キューも空きません。

cause-rp-filter-expected = 詐称アドレスを防げないrp_filter
meaning-rp-filter-expected = リバースパスフィルターが破棄するのは、届いた経路で返信できないパケットだけです。上流回線が一つのホストでは、詐称されたものも含め、インターネット上のどのアドレスも通過します。

cause-abort-on-overflow = acceptキューが満杯になった時点でのリセット
meaning-abort-on-overflow = tcp_abort_on_overflowが有効だと、一瞬の混雑でもクライアントがリセットされます。無効なら、1秒後に再試行して接続できます。

cause-message-alone = それだけでは何も証明しないカーネルのメッセージ
meaning-message-alone = 「possible SYN flooding」は待ち受けソケットごとに一度だけ、バックログを超える正規のアクセス集中でも出力されます。攻撃があったかどうか、いつ始まったか、どの程度だったかはわかりません。

cause-record-gap = 記録の空白
meaning-record-gap = 記録のない時間帯があります。その間の出来事は判断の対象になっていません。

cause-clock-doubt = 時計のずれ
meaning-clock-doubt = 記録どうしの時刻が合わないため、出来事の前後関係が不確かです。
