// Written by metrics.py.
#pragma once

// clang-format off
namespace layerwise_test {

struct reference_value {
  const char* name;
  double value;
};

inline constexpr reference_value metrics_data[] = {
    {"plain centred eigenvalue", 0x1.1846120bf4ef7p+23},  // 9184009.0233530831
    {"plain centred anisotropy", 0x1.e5c7bcfb687a3p-2},  // 0.47439475330804209
    {"plain centred stable rank", 0x1.0dd146cd7c061p+1},  // 2.1079491141645552
    {"plain centred participation ratio", 0x1.753e7fecea195p+1},  // 2.9159698397454101
    {"plain centred effective rank", 0x1.1b520207ed38dp+2},  // 4.4268803670319246
    {"plain centred entropy 1", 0x1.375ebf3e93c07p+0},  // 1.2162894752289064
    {"plain centred entropy 2", 0x1.11f8ca05582b0p+0},  // 1.0702024710700861
    {"plain centred entropy 0.5", 0x1.601465bb7eaf9p+0},  // 1.3753112395049227
    {"plain centred condition", 0x1.c1b21a7448b43p+5},  // 56.211964519947763
    {"plain about 0 eigenvalue", 0x1.19cd432abf62fp+23},  // 9234081.5834914129
    {"plain about 0 anisotropy", 0x1.e712fb04ab482p-2},  // 0.47565834251401651
    {"plain about 0 stable rank", 0x1.0d19c872f9217p+1},  // 2.1023493348495879
    {"plain about 0 participation ratio", 0x1.741ac75cd8e13p+1},  // 2.9070672229152108
    {"plain about 0 effective rank", 0x1.1ac97754cee61p+2},  // 4.4185465172009524
    {"plain about 0 entropy 1", 0x1.36933c43ada62p+0},  // 1.2131841340284599
    {"plain about 0 entropy 2", 0x1.113065e75716ep+0},  // 1.0671447458072083
    {"plain about 0 entropy 0.5", 0x1.5f6eeb49a7e55p+0},  // 1.3727862410377345
    {"plain about 0 condition", 0x1.c366f490795b3p+5},  // 56.425271156981943
    {"plain rank collapse", 0x1.f8dba1a0ba938p-1},  // 0.98605065428754468
    {"plain mean cosine", 0x1.afab559a01777p-7},  // 0.013173500821732393
    {"plain share of dimension 1", 0x1.0ae19d3354f11p-8},  // 0.0040722855367965197
    {"plain mean norm", 0x1.093a3e0825e52p+12},  // 4243.6401444893145
    {"plain deviation of norms", 0x1.284f154199a4fp+10},  // 1185.2356723785813
    {"plain median norm", 0x1.04648d6373b61p+12},  // 4166.2845186729401
    {"plain peak", 0x1.0500000000000p+12},  // 4176
    {"plain median", 0x1.3d60000000000p+10},  // 1269.5
    {"plain TwoNN", 0x1.dcb9683e4e132p+1},  // 3.7244081787322552
    {"plain TwoNN likelihood", 0x1.849ca2607bcb9p+1},  // 3.0360300990210729
    {"plain curvature", 0x1.f20faa0ae7e4ap+0},  // 1.9455515171647613
    {"plain rms inside", -0x1.0f1bd0d73979fp+5},  // -33.888581925813234
    {"plain rms outside", -0x1.0f0ca08147859p+5},  // -33.881165513987703
    {"plain layer norm", -0x1.9cbef29ef2f1ep+4},  // -25.79661810006575
    {"plain unit", -0x1.bab7f4e28fef7p+3},  // -13.834955637459172
    {"plain cka", 0x1.a3e81f6f7253cp-1},  // 0.82013033137733471
    {"plain debiased cka", 0x1.a07e6f3987afdp-1},  // 0.81346461846609908
    {"plain rsa", 0x1.79ddfa2c684f3p-1},  // 0.73802167694171172
    {"plain procrustes", 0x1.bb33691e534d9p-1},  // 0.86562660689528592
    {"plain procrustes distance", 0x1.096cc3c67c6c9p-1},  // 0.51840793416905584
    {"plain procrustes angle", 0x1.0c7d9bdc0ccfbp-1},  // 0.52439581929357304
    {"plain size and shape", 0x1.66739b8af10d0p+16},  // 91763.607588830637
    {"plain mean cca", 0x1.711d815bfe187p-1},  // 0.72092823265033779
    {"plain mean squared cca", 0x1.443ec4dc3c5b6p-1},  // 0.63329138935494345
    {"plain pwcca", 0x1.c84f138d9598bp-1},  // 0.89122830489468308
    {"plain pwcca backward", 0x1.c35d4e5f3eda2p-1},  // 0.88157124436058987
    {"plain svcca", 0x1.6b5c473d5d265p-1},  // 0.70968840240545872
    {"plain linearity", 0x1.dc68b3ec72352p-1},  // 0.93048631917290892
    {"plain linearity backward", 0x1.b9128e5fa89eep-1},  // 0.8614696971674769
    {"plain ridge", 0x1.d61407639d1b1p-1},  // 0.91812155810344198
    {"plain mutual knn", 0x1.11eb851eb851fp-1},  // 0.53500000000000003
    {"plain fast weight", 0x1.91d48d599d00fp-1},  // 0.78482476920044231
    {"plain delta rule", 0x1.c34d236b2665ep+2},  // 7.051583151472725
    {"offset centred eigenvalue", 0x1.3448608cb5318p+44},  // 21185027427155.094
    {"offset centred anisotropy", 0x1.ffc56ce316366p-1},  // 0.99955311080985321
    {"offset centred stable rank", 0x1.001d4ce8967a4p+0},  // 1.0004470889893833
    {"offset centred participation ratio", 0x1.003a9a195ddefp+0},  // 1.0008941947870615
    {"offset centred effective rank", 0x1.2a11058a8ac93p+0},  // 1.1643222296941402
    {"offset centred entropy 1", 0x1.05b76c82cfcebp-8},  // 0.0039934768599885024
    {"offset centred entropy 2", 0x1.d49b2a5ce6712p-11},  // 0.00089379523307117821
    {"offset centred entropy 0.5", 0x1.c834ac7b51432p-5},  // 0.055689179304444628
    {"offset centred condition", 0x1.3a4a29af4fed0p+16},  // 80458.162831302034
    {"offset about 0 eigenvalue", 0x1.a1cf7afe6b238p+46},  // 114846867626696.88
    {"offset about 0 anisotropy", 0x1.b16e1a9b63e82p-1},  // 0.84654315134862679
    {"offset about 0 stable rank", 0x1.2e6804a7d5ad3p+0},  // 1.1812746915581342
    {"offset about 0 participation ratio", 0x1.59de89a641d2dp+0},  // 1.3510519057179622
    {"offset about 0 effective rank", 0x1.edd8c6f3eb8c0p+0},  // 1.9290890069492406
    {"offset about 0 entropy 1", 0x1.b78d513dd0c89p-2},  // 0.429250020406649
    {"offset about 0 entropy 2", 0x1.341acc6f945c3p-2},  // 0.30088347846057334
    {"offset about 0 entropy 0.5", 0x1.1df6d22c58ae2p-1},  // 0.55852371970499015
    {"offset about 0 condition", 0x1.b27a3d552e138p+13},  // 13903.279947624178
    {"offset rank collapse", 0x1.915a74e2d5c81p-2},  // 0.39194662699214439
    {"offset mean cosine", 0x1.b7bf346848439p-1},  // 0.8588806512162882
    {"offset share of dimension 1", -0x1.ffff05504029fp-10},  // -0.0019531104081239937
    {"offset mean norm", 0x1.625b1cf477e98p+23},  // 11611534.477477357
    {"offset deviation of norms", 0x1.bef98cb63f046p+19},  // 915404.39724684577
    {"offset median norm", 0x1.58976202eaccep+23},  // 11291569.005697634
    {"offset peak", 0x1.21bb800000000p+23},  // 9493952
    {"offset median", 0x1.b33f000000000p+21},  // 3565536
    {"offset TwoNN", 0x1.93e40f362b597p+0},  // 1.5776986605882024
    {"offset TwoNN likelihood", 0x1.a06cdfffc416ep+0},  // 1.6266613006046913
    {"offset curvature", 0x1.08fcc953d9600p+1},  // 2.0702144297999894
    {"offset rms inside", 0x1.ca05fb0cd159bp+2},  // 7.1566150307820875
    {"offset rms outside", 0x1.ca05f7d635d33p+2},  // 7.1566142646691331
    {"offset layer norm", 0x1.33655dc6e731ep+1},  // 2.401530954476029
    {"offset unit", 0x1.5a3bad92b8f74p+1},  // 2.7049462286394661
    {"offset cka", 0x1.ae5d3cf23855ap-4},  // 0.10506938750360942
    {"offset debiased cka", 0x1.75ab4170e6586p-4},  // 0.091227775219882984
    {"offset rsa", 0x1.c3957dcd09d66p-5},  // 0.055124993996566826
    {"offset procrustes", 0x1.4f837f05f5ad5p-2},  // 0.32765005563616728
    {"offset procrustes distance", 0x1.28dc54437ee22p+0},  // 1.1596119560989639
    {"offset procrustes angle", 0x1.3caaca99bc9a1p+0},  // 1.2369810700734905
    {"offset size and shape", 0x1.39778a9999ccap+25},  // 41086741.200006083
    {"offset mean cca", 0x1.abf1df6db8cddp-1},  // 0.83582971777323289
    {"offset mean squared cca", 0x1.9dc243d91e3e9p-1},  // 0.80812274957054087
    {"offset pwcca", 0x1.fd7d0321eff70p-1},  // 0.99509439267420241
    {"offset pwcca backward", 0x1.fdfd574506e4cp-1},  // 0.99607346265424601
    {"offset svcca", 0x1.f2f554ee7a55dp-1},  // 0.97452798281771502
    {"offset linearity", 0x1.ff91dbea98712p-1},  // 0.99915969122614201
    {"offset linearity backward", 0x1.ffc57b7746913p-1},  // 0.99955354529382345
    {"offset ridge", 0x1.0e35c41337ec8p-3},  // 0.13193848785066664
    {"offset mutual knn", 0x1.0a3d70a3d70a4p-3},  // 0.13
    {"offset fast weight", 0x1.bbb3921e07577p-1},  // 0.86660439125596056
    {"offset delta rule", 0x1.16d87b61c5e45p+0},  // 1.0892407525733614
    {"offset residual linearity", 0x1.ffd4e74595d70p-1},  // 0.99967119907789304
    {"offset block influence", 0x1.167370c51d771p+0},  // 1.0876989823568375
    {"offset contribution", 0x1.7109f05c202e6p+0},  // 1.4415579056659964
    {"offset hypersphere step", 0x1.67db16b7d6e48p+1},  // 2.811373557820648
    {"offset slerp", 0x1.35686a90453a8p+1},  // 2.4172490314908437
    {"few centred eigenvalue", 0x1.30105474a1133p+27},  // 159416995.64466247
    {"few centred anisotropy", 0x1.e563f0ad0c8acp-1},  // 0.94802810776152091
    {"few centred stable rank", 0x1.0e08c0867eddbp+0},  // 1.054821045718987
    {"few centred participation ratio", 0x1.1c51389addf77p+0},  // 1.1106143358319664
    {"few centred effective rank", 0x1.505bdf209a231p+1},  // 2.6278036984624795
    {"few centred entropy 1", 0x1.f3ace04cf1d30p-3},  // 0.24398207888428081
    {"few centred entropy 2", 0x1.adb99656b0d14p-4},  // 0.10491331792859554
    {"few centred entropy 0.5", 0x1.3e12813b623fdp-1},  // 0.62123493051433309
    {"few centred condition", 0x1.4026c529172f5p+6},  // 80.037861482658471
    {"few about 0 eigenvalue", 0x1.18dd545a322f6p+27},  // 147253922.81862611
    {"few about 0 anisotropy", 0x1.d8b2fa046d3aep-1},  // 0.92324048332249276
    {"few about 0 stable rank", 0x1.1548c16a207a1p+0},  // 1.0831414112185274
    {"few about 0 participation ratio", 0x1.2b7e516e3d491p+0},  // 1.1698962110652114
    {"few about 0 effective rank", 0x1.8bf7111723c0cp+1},  // 3.0934773791300412
    {"few about 0 entropy 1", 0x1.678cb64b9a26dp-2},  // 0.35112271152914937
    {"few about 0 entropy 2", 0x1.415cabac24f5bp-3},  // 0.1569150363835615
    {"few about 0 entropy 0.5", 0x1.8f405bd57e222p-1},  // 0.77978789311515961
    {"few about 0 condition", 0x1.15354f22232c6p+5},  // 34.651029841135411
    {"few rank collapse", 0x1.f917490d2c793p-1},  // 0.98650577817737639
    {"few mean cosine", 0x1.f928abb7653efp-6},  // 0.030832450572763234
    {"few share of dimension 1", -0x1.74e09569ba37dp-5},  // -0.045517246076832919
    {"few mean norm", 0x1.41bdbe0152c18p+13},  // 10295.717775961428
    {"few deviation of norms", 0x1.c92075f41a933p+12},  // 7314.0287972486576
    {"few median norm", 0x1.13116da4e3ac3p+13},  // 8802.1785371577189
    {"few peak", 0x1.c770000000000p+14},  // 29148
    {"few median", 0x1.8dc0000000000p+10},  // 1591
    {"few TwoNN", 0x1.6de8c4999bc76p+1},  // 2.8586660146752889
    {"few TwoNN likelihood", 0x1.5c628f773fa84p+1},  // 2.7217578251141408
    {"few curvature", 0x1.02226f495477fp+1},  // 2.0166758640343114
    {"few rms inside", 0x1.520dcf25d15a9p-1},  // 0.66026160561221048
    {"few rms outside", 0x1.51109f5dfe3fcp-1},  // 0.65832994482400364
    {"few layer norm", -0x1.0eb05ef74e37cp+0},  // -1.0573787072919165
    {"few unit", 0x1.1405175f23778p-2},  // 0.26955067175082759
    {"few cka", 0x1.e43e826e3237fp-2},  // 0.47289470479568502
    {"few debiased cka", 0x1.048faa58813cep-1},  // 0.50890858011609352
    {"few rsa", 0x1.e24075283cf5ep-3},  // 0.23547450570151346
    {"few procrustes", 0x1.54762c6e58681p-1},  // 0.66496409270276058
    {"few procrustes distance", 0x1.a31cce374034cp-1},  // 0.8185791437573271
    {"few procrustes angle", 0x1.afcba5e84f0f7p-1},  // 0.84335058651734485
    {"few size and shape", 0x1.09e418f3a9ef3p+16},  // 68068.097468014617
    {"few mean cca", 0x1.a55b3c8f78c8dp-1},  // 0.82296170474400443
    {"few mean squared cca", 0x1.6f98672c9eb49p-1},  // 0.71795961780240092
    {"few pwcca", 0x1.dceb30c30c872p-1},  // 0.93148186093300311
    {"few pwcca backward", 0x1.bf9d7ac10b197p-1},  // 0.87424834829794207
    {"few svcca", 0x1.e05e4fd3e4a42p-1},  // 0.93821954213701297
    {"few linearity", 0x1.7b35af44828fdp-1},  // 0.7406439562921886
    {"few linearity backward", 0x1.e5e81cbc7ca39p-1},  // 0.94903650093903658
    {"few ridge", 0x1.f1d7d7f490042p-2},  // 0.48617494039718079
    {"few mutual knn", 0x1.3b13b13b13b14p-1},  // 0.61538461538461542
    {"few fast weight", 0x1.6d9f81a7e9613p-2},  // 0.35705378138877214
    {"few delta rule", 0x1.553c048ebf29ep+0},  // 1.3329470489981428
    {"close centred eigenvalue", 0x1.e8b73fd8fdbdcp+46},  // 134337181138799.44
    {"close centred anisotropy", 0x1.a9508d3e679fbp-2},  // 0.41534634297741463
    {"close centred stable rank", 0x1.342d31e6ef87dp+1},  // 2.4076292398086125
    {"close centred participation ratio", 0x1.c164a3158818dp+1},  // 3.5108836989531427
    {"close centred effective rank", 0x1.582c18643ec3ap+2},  // 5.3776913622814906
    {"close centred entropy 1", 0x1.7189e6a8040c2p+0},  // 1.44351045228909
    {"close centred entropy 2", 0x1.41808ce04c150p+0},  // 1.2558677718735289
    {"close centred entropy 0.5", 0x1.9848dc00ff8cfp+0},  // 1.5948617460667724
    {"close centred condition", 0x1.1072b67d6fda7p+2},  // 4.2570015168161381
    {"close about 0 eigenvalue", 0x1.e0c1152b1ac80p+46},  // 132148716291762
    {"close about 0 anisotropy", 0x1.a33e99e9e0020p-2},  // 0.40941849222144988
    {"close about 0 stable rank", 0x1.38a377698e2fep+1},  // 2.4424886002929034
    {"close about 0 participation ratio", 0x1.c1c8b7cc2224cp+1},  // 3.5139379259819972
    {"close about 0 effective rank", 0x1.57e09cad984adp+2},  // 5.3730842299711812
    {"close about 0 entropy 1", 0x1.712b62b8f4f76p+0},  // 1.4420682622485095
    {"close about 0 entropy 2", 0x1.41b9898dd360dp+0},  // 1.2567373248342648
    {"close about 0 entropy 0.5", 0x1.97f6bdd6c8dd6p+0},  // 1.5936087273956807
    {"close about 0 condition", 0x1.0e4077d3484dbp+2},  // 4.2226848185830148
    {"close rank collapse", 0x1.fb5fbbaa271b0p-1},  // 0.99096476032314307
    {"close mean cosine", -0x1.05a99f88ff535p-7},  // -0.0079853085499005192
    {"close share of dimension 1", -0x1.d82daa28e8d26p-10},  // -0.0018012175662328127
    {"close mean norm", 0x1.0617f34e47152p+24},  // 17176563.305772133
    {"close deviation of norms", 0x1.41731d84ba754p+22},  // 5266631.3796175309
    {"close median norm", 0x1.00078af114248p+24},  // 16779146.941713601
    {"close peak", 0x1.5a33900000000p+24},  // 22688656
    {"close median", 0x1.2c1e240000000p+22},  // 4917129
    {"close TwoNN", 0x1.4c42a1f0c45a0p+2},  // 5.1915669299354761
    {"close TwoNN likelihood", 0x1.580b15affcd83p+2},  // 5.3756765574102046
    {"close curvature", 0x1.f547fd34f90b2p+0},  // 1.9581297163322628
    {"close rms inside", 0x1.0391a4240adabp+5},  // 32.446113854962583
    {"close rms outside", 0x1.0391a2c6d0331p+5},  // 32.446111253002876
    {"close layer norm", 0x1.aa3f7aab9abe4p+4},  // 26.640497846918052
    {"close unit", 0x1.a7dfcf44fd9acp+3},  // 13.246070513484334
    {"close cka", 0x1.fffffff76143ap-1},  // 0.99999999899649272
    {"close debiased cka", 0x1.fffffff6d146cp-1},  // 0.99999999893101466
    {"close rsa", 0x1.fffffff5546f6p-1},  // 0.99999999875782808
    {"close procrustes", 0x1.fffffff945898p-1},  // 0.99999999921671456
    {"close procrustes distance", 0x1.4c0540a2921a6p-15},  // 3.9579930007752146e-05
    {"close procrustes angle", 0x1.4c0540a2ef2f4p-15},  // 3.9579930010335678e-05
    {"close size and shape", 0x1.3803d145ff013p+12},  // 4992.2385921441191
    {"close mean cca", 0x1.fffffff0a65f2p-1},  // 0.99999999821301189
    {"close mean squared cca", 0x1.ffffffe14cbe3p-1},  // 0.99999999642602366
    {"close pwcca", 0x1.fffffff67ac90p-1},  // 0.99999999889168301
    {"close pwcca backward", 0x1.fffffff67aca1p-1},  // 0.99999999889168489
    {"close svcca", 0x1.fffffff0a65f2p-1},  // 0.99999999821301189
    {"close linearity", 0x1.fffffff326b21p-1},  // 0.99999999850419752
    {"close linearity backward", 0x1.fffffff326b3cp-1},  // 0.99999999850420052
    {"close ridge", 0x1.f713d1be68ec4p-1},  // 0.98257308434809731
    {"close mutual knn", 0x1.0000000000000p+0},  // 1
    {"close fast weight", 0x1.a675268341009p-1},  // 0.82511253692837372
    {"close delta rule", 0x1.ef355fa6b3772p+0},  // 1.9344081670746758
    {"close residual linearity", 0x1.46671e0ae4b3cp-4},  // 0.079688184121818162
    {"close block influence", 0x1.e0b7e6f144730p-29},  // 3.4976864673964217e-09
    {"close contribution", 0x1.6993cab30337fp-14},  // 8.6206748889773227e-05
    {"close hypersphere step", 0x1.a7dfea791c5d6p+3},  // 13.246083485168963
    {"close slerp", 0x1.a7dfea791c5bap+3},  // 13.246083485168914
    {"stack angle 0 1", 0x1.c6d4b36e6927bp-3},  // 0.22208538227745919
    {"stack angle 0 4", 0x1.44a938194a659p-2},  // 0.31705176977502486
    {"stack angle 2 3", 0x1.c3ef895fe7911p-3},  // 0.22067172359397394
    {"stack best block", 0x1.0000000000000p+1},  // 2
    {"stack best block distance", 0x1.d9f457d7e3e9ep-3},  // 0.2314230788001525
    {"stack collapse index", 0x1.3593a51262f74p+0},  // 1.2092841310395359
    {"stack jump rate", 0x0.0p+0},  // 0
    {"stack total jump rate", 0x1.8a5de39f6caebp+0},  // 1.5404951347560949
    {"stack path efficiency", 0x1.9f2f07d41a316p-2},  // 0.40545284492559241
    {"stack growth 0", 0x1.3821822222222p+16},  // 79905.508333333331
    {"stack growth 4", 0x1.17dad9f537777p+33},  // 9390371818.4333324
    {"stack to last 0", 0x1.a8a3cc85d03e8p-1},  // 0.82937468656029711
    {"stack to last 2", 0x1.ff9dad64036cfp-1},  // 0.99924985738626926
    {"stack 0 4 cka", 0x1.52f2a4113c45ep-1},  // 0.66200745306390352
    {"stack 0 4 debiased cka", 0x1.4013f89df982fp-1},  // 0.62515236786271611
    {"stack 0 4 rsa", 0x1.1300422cceefap-1},  // 0.53711134716965536
    {"stack 1 2 cka", 0x1.b48ce01f9cc51p-1},  // 0.85263729463475546
    {"stack 1 2 debiased cka", 0x1.ab5b9541cc772p-1},  // 0.8346830981083555
    {"stack 1 2 rsa", 0x1.a6a37287e533ep-1},  // 0.82546575459364369
};

}  // namespace layerwise_test
